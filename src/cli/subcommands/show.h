// cli/subcommands/show.h: loraxs show.
#pragma once
#include <string>

#include "cli/options.h"
#include "cli/subcommand.h"

namespace loraxs {

struct ShowOptions {
  static constexpr Subcommand kSubcommand = {.name = "show",
                                             .help = "What a file or folder is, on which base, and how good",
                                             .example = "loraxs show runs/classification/seed-0/best.safetensors"};
  std::string path;  // adapter (of a store too), basis, safetensors or GGUF file, checkpoint or run folder

  void add_to(CLI::App& app);
};

int run(const ShowOptions& options, const CommonOptions& common);

}  // namespace loraxs
