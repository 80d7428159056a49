#include "cli/subcommands/show.h"

#include <CLI/CLI.hpp>

namespace loraxs {

void ShowOptions::add_to(CLI::App& app) {
  app.add_option("path", path,
                 "Adapter (a file, or URL#tenant/name of a store), basis, safetensors or GGUF file; folder of a run, "
                 "model, PEFT adapter")
      ->required();
}

}  // namespace loraxs
