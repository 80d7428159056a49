// cli/subcommands/train.h: loraxs train.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "cli/options.h"
#include "cli/subcommand.h"

namespace loraxs {

struct TrainOptions {
  static constexpr Subcommand kSubcommand = {
      .name = "train",
      .help = "Train adapters from a recipe",
      .example = "loraxs train recipe.yaml --set train.epochs=20 --set train.batch_size=8"};
  std::string recipe;
  std::vector<std::string> set;                  // key.sub=value
  std::optional<std::string> memory, memory_gb;  // train.memory, train.memory_gb
  bool resume = false, allow_drift = false, dry_run = false;
  std::string beside;  // run folder whose curves report.html shows too

  void add_to(CLI::App& app);
};

int run(const TrainOptions& options, const CommonOptions& common);

}  // namespace loraxs
