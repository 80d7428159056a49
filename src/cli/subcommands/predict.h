// cli/subcommands/predict.h: loraxs predict.
#pragma once
#include <string>

#include "cli/options.h"
#include "cli/subcommand.h"

namespace loraxs {

struct PredictOptions {
  static constexpr Subcommand kSubcommand = {
      .name = "predict",
      .help = "Labels of texts, one result a line",
      .example =
          "loraxs predict --model models/minilm --adapter runs/classification/seed-0/best.safetensors --input "
          "examples/tickets/new.csv --text message"};
  AdapterOptions adapter;
  std::string input;                   // file; empty = standard input
  std::string text, text_pair, label;  // columns of a table; empty = found by their names

  void add_to(CLI::App& app);
};

int run(const PredictOptions& options, const CommonOptions& common);

}  // namespace loraxs
