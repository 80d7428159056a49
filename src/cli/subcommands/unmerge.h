// cli/subcommands/unmerge.h: loraxs unmerge.
#pragma once
#include <string>

#include "cli/options.h"
#include "cli/subcommand.h"

namespace loraxs {

struct UnmergeOptions {
  static constexpr Subcommand kSubcommand = {
      .name = "unmerge",
      .help = "The base weights back from a merged folder",
      .example =
          "loraxs unmerge --model models/minilm --adapter runs/classification/seed-0/best.safetensors --merged merged "
          "--out restored"};
  AdapterOptions adapter;  // model = the kept base, unless subtract
  std::string merged, out;
  bool subtract = false;  // subtract ΔW from the merged weights

  void add_to(CLI::App& app);
};

int run(const UnmergeOptions& options, const CommonOptions& common);

}  // namespace loraxs
