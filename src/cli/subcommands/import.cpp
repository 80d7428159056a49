#include "cli/subcommands/import.h"

#include <CLI/CLI.hpp>

#include "cli/checks.h"

namespace loraxs {

void ImportOptions::add_to(CLI::App& app) {
  app.add_option("--model", model, "Hugging Face folder or GGUF file of the base model")->required();
  auto* one = app.add_option("--from", from, "Folder with adapter_config.json");
  auto* many = app.add_option("--in", folder, "Folder of such folders, imported side by side");
  one->excludes(many);
  app.add_option("--out", out, "Adapter file to write (a folder with --in)")->required();
  app.add_option("--rank", rank, "Project on the model's basis of this rank; 0 = as it is, exactly")
      ->check(count_from(0))
      ->capture_default_str();
  app.add_option("--basis", basis, "Basis file to project on");
  app.add_option("--threshold", threshold, "Largest relative residual a projection may leave in a module")
      ->check(at_least_zero())
      ->capture_default_str();
  app.add_option("--labels", labels, "Classes of the head (default: the model's id2label)")->delimiter(',');
}

}  // namespace loraxs
