// cli/subcommands/table.h: loraxs table.
#pragma once
#include <string>
#include <vector>

#include "cli/options.h"
#include "cli/subcommand.h"

namespace loraxs {

struct TableOptions {
  static constexpr Subcommand kSubcommand = {
      .name = "table",
      .help = "Rows of runs and evaluations: parameters, rank, score per task, average",
      .example = "loraxs table runs/classification",
      .opens_model = false};
  std::vector<std::string> runs;    // folders of finished runs
  std::string format = "markdown";  // markdown | csv | json
  bool by_run = false;              // a row per run, with its folder

  void add_to(CLI::App& app);
};

int run(const TableOptions& options, const CommonOptions& common);

}  // namespace loraxs
