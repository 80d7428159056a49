#include "cli/subcommands/params.h"

#include <CLI/CLI.hpp>

#include "cli/checks.h"

namespace loraxs {

void ParamsOptions::add_to(CLI::App& app) {
  app.add_option("model", model, "Model folder, config.json or GGUF file")->required();
  app.add_option("--rank", ranks, "Ranks (default: 4,8,12,16,20,25, as many as the modules take)")
      ->delimiter(',')
      ->check(count_from(1));
  app.add_option("--targets", targets, "paper, all-linear, module names or site:NAME")->delimiter(',');
  app.add_option("--labels", labels, "Outputs of the head")->check(count_from(0))->capture_default_str();
  app.add_option("--vera-rank", vera_rank, "Rank of VeRA's shared pair")->check(count_from(1))->capture_default_str();
  app.add_flag("--list", list, "List the sites instead");
}

}  // namespace loraxs
