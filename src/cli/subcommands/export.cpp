#include "cli/subcommands/export.h"

#include <CLI/CLI.hpp>

namespace loraxs {

void ExportOptions::add_to(CLI::App& app) {
  adapter.add_to(app);
  app.add_option("--format", format, "peft, gguf, reference or loraxs")
      ->check(CLI::IsMember({"peft", "gguf", "reference", "loraxs"}))
      ->capture_default_str();
  app.add_option("--out", out, "Folder (peft, reference) or file (gguf, loraxs) to write")->required();
  app.add_option("--dtype", dtype, "With --format loraxs: bfloat16 or float16 rounds the row")
      ->check(CLI::IsMember({"float32", "bfloat16", "float16"}));
}

}  // namespace loraxs
