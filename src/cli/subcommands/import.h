// cli/subcommands/import.h: loraxs import.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "cli/options.h"
#include "cli/subcommand.h"

namespace loraxs {

struct ImportOptions {
  static constexpr Subcommand kSubcommand = {
      .name = "import",
      .help = "Adapters of PEFT or the paper's reference as adapter files",
      .example = "loraxs import --model models/minilm --from as-lora --out imported.safetensors"};
  std::string model, from, folder, out, basis;
  int64_t rank = 0;         // 0 = as it is
  double threshold = 0.01;  // largest relative residual of a projection
  std::vector<std::string> labels;

  void add_to(CLI::App& app);
};

int run(const ImportOptions& options, const CommonOptions& common);

}  // namespace loraxs
