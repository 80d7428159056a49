#include "cli/subcommands/predict.h"

#include <CLI/CLI.hpp>

namespace loraxs {

void PredictOptions::add_to(CLI::App& app) {
  adapter.add_to(app, /*required=*/false);
  app.add_option("--input", input,
                 "A .csv or .tsv with a header, .jsonl or .json, or a file of lines, pairs with a tab; default stdin");
  add_columns(app, text, text_pair, label);
}

}  // namespace loraxs
