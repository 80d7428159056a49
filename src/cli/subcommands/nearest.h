// cli/subcommands/nearest.h: loraxs nearest.
#pragma once
#include <cstdint>
#include <string>

#include "cli/options.h"
#include "cli/subcommand.h"

namespace loraxs {

struct NearestOptions {
  static constexpr Subcommand kSubcommand = {
      .name = "nearest",
      .help = "Adapters of a folder or a store by the distance of their updates",
      .example =
          "loraxs nearest --model models/minilm --adapter runs/classification/seed-0/best.safetensors --in "
          "runs/classification/seed-0"};
  AdapterOptions adapter;
  std::string folder;
  int64_t top = 10;

  void add_to(CLI::App& app);
};

int run(const NearestOptions& options, const CommonOptions& common);

}  // namespace loraxs
