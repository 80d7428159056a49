// cli/subcommands/convert.h: loraxs convert.
#pragma once
#include <string>

#include "cli/options.h"
#include "cli/subcommand.h"

namespace loraxs {

struct ConvertOptions {
  static constexpr Subcommand kSubcommand = {
      .name = "convert",
      .help = "A GGUF file as a Hugging Face folder, or a folder as a GGUF file",
      .example = "loraxs convert --model models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf --out smollm2"};
  std::string model, out, dtype;  // dtype: empty = as stored

  void add_to(CLI::App& app);
};

int run(const ConvertOptions& options, const CommonOptions& common);

}  // namespace loraxs
