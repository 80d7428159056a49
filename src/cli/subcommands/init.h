// cli/subcommands/init.h: loraxs init.
#pragma once
#include <string>

#include "cli/options.h"
#include "cli/subcommand.h"

namespace loraxs {

struct InitOptions {
  static constexpr Subcommand kSubcommand = {.name = "init",
                                             .help = "Write a commented recipe for a model and your data",
                                             .example =
                                                 "loraxs init recipe.yaml --model models/minilm --train "
                                                 "examples/tickets/tickets.csv --text message --label team"};
  std::string path = "recipe.yaml";  // file to write
  std::string model = "models/minilm";
  std::string task;                    // empty = by the data; without data qnli, for an encoder
  std::string train, validation;       // one's own files; empty = none
  std::string data;                    // folder of a known task; empty = none
  std::string text, text_pair, label;  // columns of `train`; empty = by their names
  std::string method = "lora_xs";

  void add_to(CLI::App& app);
};

int run(const InitOptions& options, const CommonOptions& common);

}  // namespace loraxs
