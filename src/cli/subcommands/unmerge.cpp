#include "cli/subcommands/unmerge.h"

#include <CLI/CLI.hpp>

namespace loraxs {

void UnmergeOptions::add_to(CLI::App& app) {
  adapter.add_to(app);
  app.add_option("--merged", merged, "Merged folder")->required();
  app.add_option("--out", out, "Folder to write")->required();
  app.add_flag("--subtract", subtract, "Subtract the update (default: the kept base's own bytes)");
}

}  // namespace loraxs
