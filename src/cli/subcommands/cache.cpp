#include "cli/subcommands/cache.h"

#include <CLI/CLI.hpp>

namespace loraxs {

void CacheOptions::add_to(CLI::App& app) {
  app.add_option("action", action, "list, or clear: remove our own files, no others")
      ->check(CLI::IsMember({"list", "clear"}))
      ->required();
}

}  // namespace loraxs
