#include "cli/subcommands/table.h"

#include <CLI/CLI.hpp>

namespace loraxs {

void TableOptions::add_to(CLI::App& app) {
  app.add_option("runs", runs, "Folders of runs, or with runs below; files of eval --answers and eval --json")
      ->required();
  app.add_flag("--by-run", by_run, "A row per run, with its folder: two starts or settings of one method");
  app.add_option("--format", format, "markdown, csv or json")
      ->check(CLI::IsMember({"markdown", "csv", "json"}))
      ->capture_default_str();
}

}  // namespace loraxs
