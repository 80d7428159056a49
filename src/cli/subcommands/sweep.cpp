#include "cli/subcommands/sweep.h"

#include <CLI/CLI.hpp>

#include "cli/checks.h"

namespace loraxs {

void SweepOptions::add_to(CLI::App& app) {
  adapter.add_model(app);
  task.add_to(app);
  app.add_option("--from", from, "Adapter at t = 0")->required();
  app.add_option("--to", to, "Adapter at t = 1")->required();
  app.add_option("--begin", begin, "First t; below 0 it goes away from --to")->capture_default_str();
  app.add_option("--end", end, "Last t")->capture_default_str();
  app.add_option("--points", points, "Adapters scored")->check(count_from(1))->capture_default_str();
  app.add_option("--report", report, "Page with the curve to write");
}

}  // namespace loraxs
