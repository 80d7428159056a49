// cli/subcommands/merge.h: loraxs merge.
#pragma once
#include <string>

#include "cli/options.h"
#include "cli/subcommand.h"

namespace loraxs {

struct MergeOptions {
  static constexpr Subcommand kSubcommand = {
      .name = "merge",
      .help = "Write the adapter into the base weights",
      .example =
          "loraxs merge --model models/minilm --adapter runs/classification/seed-0/best.safetensors --out merged"};
  AdapterOptions adapter;
  std::string out, dtype;  // dtype: empty = as the base

  void add_to(CLI::App& app);
};

int run(const MergeOptions& options, const CommonOptions& common);

}  // namespace loraxs
