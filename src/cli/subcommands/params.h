// cli/subcommands/params.h: loraxs params.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "cli/options.h"
#include "cli/subcommand.h"

namespace loraxs {

struct ParamsOptions {
  static constexpr Subcommand kSubcommand = {.name = "params",
                                             .help = "Counts and bytes of LoRA-XS, LoRA, VeRA and full fine-tuning",
                                             .example = "loraxs params models/minilm --rank 4,16"};
  std::string model;           // folder, config.json or GGUF file
  std::vector<int64_t> ranks;  // none given: 4, 8, 12, 16, 20, 25, as many as the modules take
  std::vector<std::string> targets = {"paper"};
  int64_t labels = 2;       // outputs of the classification head
  int64_t vera_rank = 256;  // of VeRA's shared pair
  bool list = false;        // sites, not counts

  void add_to(CLI::App& app);
};

int run(const ParamsOptions& options, const CommonOptions& common);

}  // namespace loraxs
