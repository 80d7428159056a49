#include "cli/subcommands/basis.h"

#include <CLI/CLI.hpp>

#include "cli/checks.h"

namespace loraxs {

void BasisOptions::add_to(CLI::App& app) {
  app.add_option("--model", model, "Hugging Face folder or GGUF file")->required();
  app.add_option("--rank", rank, "Largest rank")->check(count_from(1))->capture_default_str();
  app.add_option("--targets", targets, "paper, all-linear, module names or site:NAME")->delimiter(',');
  app.add_option("--variant", variant, "weight, random or svd_of_random")
      ->check(CLI::IsMember({"weight", "random", "svd_of_random"}));
  app.add_option("--vectors", vectors, "top, middle or bottom")->check(CLI::IsMember({"top", "middle", "bottom"}));
  app.add_flag("--no-sigma", no_sigma, "Leave the singular values out of a");
  app.add_option("--seed", seed, "Seed of the random variants");
  app.add_option("--out", out, "File to write (default: the cache)");
}

}  // namespace loraxs
