#include "cli/subcommands/nearest.h"

#include <CLI/CLI.hpp>

#include "cli/checks.h"

namespace loraxs {

void NearestOptions::add_to(CLI::App& app) {
  adapter.add_to(app);
  app.add_option("--in", folder, "Where to look: a folder of adapters, or a store's, URL#tenant/ or URL#tenant/begin*")
      ->required();
  app.add_option("--top", top, "How many to list; 0 = all")
      ->check(whole_number_between(0, kMostRows))
      ->capture_default_str();
}

}  // namespace loraxs
