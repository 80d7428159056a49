// cli/subcommands/generate.h: loraxs generate.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "cli/options.h"
#include "cli/subcommand.h"

namespace loraxs {

struct GenerateOptions {
  static constexpr Subcommand kSubcommand = {
      .name = "generate",
      .help = "Continue prompts, one result a line",
      .example =
          "loraxs generate --model models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf --chat --prompt \"Who are you?\" -n "
          "64"};
  DecodingOptions text;
  std::optional<std::string> prompt;
  std::string input;        // JSON lines; one of the two is given
  bool chat = false;        // a prompt is a user's turn of the model's chat template
  bool ignore_eos = false;  // end-of-text tokens do not end an answer
  int64_t logprobs = -1;    // so many likely tokens beside each token; -1 = no log-probabilities
  SearchOptions search;
  int64_t samples = 1;  // answers per prompt
  int64_t batch = 16;   // prompts computed together

  void add_to(CLI::App& app);
};

int run(const GenerateOptions& options, const CommonOptions& common);

}  // namespace loraxs
