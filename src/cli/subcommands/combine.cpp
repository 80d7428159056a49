#include "cli/subcommands/combine.h"

#include <CLI/CLI.hpp>

namespace loraxs {

void CombineOptions::add_to(CLI::App& app) {
  app.add_option("expression", expression, "Sum of adapters")->required();
  app.add_option("--out", out, "Adapter file to write")->required();
  app.add_option("--model", model, "Hugging Face folder or GGUF file of the base model")->required();
  app.add_option("--head", head, "auto, none, or the adapter whose head is kept")->capture_default_str();
}

}  // namespace loraxs
