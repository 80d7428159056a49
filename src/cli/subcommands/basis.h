// cli/subcommands/basis.h: loraxs basis.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "cli/options.h"
#include "cli/subcommand.h"

namespace loraxs {

struct BasisOptions {
  static constexpr Subcommand kSubcommand = {
      .name = "basis",
      .help = "Compute the basis of a model",
      .example = "loraxs basis --model models/minilm --rank 16 --out minilm.basis.safetensors"};
  std::string model;
  int64_t rank = 16;
  std::vector<std::string> targets = {"paper"};
  std::string variant = "weight", vectors = "top";
  bool no_sigma = false;
  uint64_t seed = 0;
  std::string out;  // file to write; empty = the cache

  void add_to(CLI::App& app);
};

int run(const BasisOptions& options, const CommonOptions& common);

}  // namespace loraxs
