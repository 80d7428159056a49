// cli/subcommands/sweep.h: loraxs sweep.
#pragma once
#include <cstdint>
#include <string>

#include "cli/options.h"
#include "cli/subcommand.h"

namespace loraxs {

struct SweepOptions {
  static constexpr Subcommand kSubcommand = {
      .name = "sweep",
      .help = "Scores along the line between two adapters",
      .example =
          "loraxs sweep --model models/minilm --from runs/classification/seed-0/best.safetensors --to "
          "runs/classification/seed-0/last.safetensors --task classification --data examples/tickets/tickets.csv --set "
          "text=message --set label=team"};
  AdapterOptions adapter;  // of which model, basis and precision count
  TaskOptions task;
  std::string from, to;
  double begin = 0, end = 1;
  int64_t points = 11;
  std::string report;  // page to write; empty = none

  void add_to(CLI::App& app);
};

int run(const SweepOptions& options, const CommonOptions& common);

}  // namespace loraxs
