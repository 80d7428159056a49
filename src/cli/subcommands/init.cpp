#include "cli/subcommands/init.h"

#include <CLI/CLI.hpp>

namespace loraxs {

void InitOptions::add_to(CLI::App& app) {
  app.add_option("path", path, "File to write")->capture_default_str();
  app.add_option("--model", model, "Model folder or GGUF file")->capture_default_str();
  app.add_option("--task", task, "The task (default: by the data)");
  auto* own = app.add_option("--train", train, "Your own training data: .csv, .tsv, .jsonl, .json or .txt");
  app.add_option("--validation", validation, "Your own validation data (default: a part of --train)")->needs(own);
  app.add_option("--data", data, "Folder of a known task, as distributed")->excludes(own);
  app.add_option("--text", text, "Column of texts (default: by its name)");
  app.add_option("--text-pair", text_pair, "Column of second texts (default: by its name, if any)");
  app.add_option("--label", label, "Column of labels or scores (default: by its name)");
  app.add_option("--method", method, "lora_xs, lora, pissa, full, …; see docs/recipe.md")->capture_default_str();
}

}  // namespace loraxs
