// cli/subcommands/combine.h: loraxs combine.
#pragma once
#include <string>

#include "cli/options.h"
#include "cli/subcommand.h"

namespace loraxs {

struct CombineOptions {
  static constexpr Subcommand kSubcommand = {
      .name = "combine",
      .help = "Arithmetic on adapters: \"0.7*a.safetensors + 0.3*b.safetensors\"",
      .example =
          "loraxs combine \"0.5*runs/classification/seed-0/best.safetensors + "
          "0.5*runs/classification/seed-0/last.safetensors\" --model models/minilm --out between.safetensors"};
  std::string expression, out, head = "auto", model;

  void add_to(CLI::App& app);
};

int run(const CombineOptions& options, const CommonOptions& common);

}  // namespace loraxs
