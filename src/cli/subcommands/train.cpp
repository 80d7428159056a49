#include "cli/subcommands/train.h"

#include <CLI/CLI.hpp>

namespace loraxs {

void TrainOptions::add_to(CLI::App& app) {
  app.add_option("recipe", recipe, "YAML recipe")->required();
  app.add_option("--set", set, "Override: key.sub=value")->take_all()->allow_extra_args(false);
  app.add_option("--memory", memory, "normal, or tight: weights stay as stored (train.memory)");
  app.add_option("--memory-gb", memory_gb, "GiB the process may take (train.memory_gb)");
  app.add_flag("--resume", resume, "Continue from the newest checkpoint, or start if there is none");
  app.add_flag("--allow-drift", allow_drift, "Resume although threads or GEMM backend differ");
  app.add_option("--beside", beside, "Run folder whose curves report.html shows too: the head alone, say");
  app.add_flag("--dry-run", dry_run, "Print sizes and steps, train nothing");
}

}  // namespace loraxs
