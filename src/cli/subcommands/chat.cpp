#include "cli/subcommands/chat.h"

#include <CLI/CLI.hpp>

namespace loraxs {

void ConversationOptions::add_to(CLI::App& app) {
  text.add_to(app);
  text.add_system(app);
}

}  // namespace loraxs
