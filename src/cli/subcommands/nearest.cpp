#include "cli/subcommands/nearest.h"

#include <CLI/CLI.hpp>

namespace loraxs {

void NearestOptions::add_to(CLI::App& app) {
  adapter.add_to(app);
  app.add_option("--in", folder, "Folder of adapters")->required();
  app.add_option("--top", top, "How many to list; 0 = all")->check(CLI::NonNegativeNumber)->capture_default_str();
}

}  // namespace loraxs
