// cli/subcommands/chat.h: loraxs chat.
#pragma once
#include "cli/options.h"
#include "cli/subcommand.h"

namespace loraxs {

struct ConversationOptions {
  static constexpr Subcommand kSubcommand = {
      .name = "chat",
      .help = "Talk to a model",
      .example = "loraxs chat --model models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf --temperature 0.7 --top-p 0.9"};
  DecodingOptions text;

  void add_to(CLI::App& app);
};

int run(const ConversationOptions& options, const CommonOptions& common);

}  // namespace loraxs
