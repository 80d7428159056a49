// cli/parse.h: the command line as a Command.
#pragma once
#include <optional>

#include "cli/subcommands.h"

namespace loraxs {

/// What main() does next: run the command, or leave with `exit_code` because the text is printed already.
struct Parsed {
  std::optional<Command> command;
  int exit_code = 0;  // 0 after --help and --version, 2 after a usage error
};

Parsed parse_command_line(int argc, const char* const* argv);

}  // namespace loraxs
