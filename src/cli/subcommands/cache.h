// cli/subcommands/cache.h: loraxs cache.
#pragma once
#include <string>

#include "cli/options.h"
#include "cli/subcommand.h"

namespace loraxs {

struct CacheOptions {
  static constexpr Subcommand kSubcommand = {.name = "cache",
                                             .help = "The folder of bases and base ids: what is in it, or clear it",
                                             .example = "loraxs cache list",
                                             .opens_model = false};
  std::string action;  // list | clear

  void add_to(CLI::App& app);
};

int run(const CacheOptions& options, const CommonOptions& common);

}  // namespace loraxs
