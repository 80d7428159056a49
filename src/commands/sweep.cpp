#include "api/sweep.h"

#include <iostream>
#include <nlohmann/json.hpp>

#include "cli/subcommands/sweep.h"
#include "commands/progress.h"
#include "commands/session.h"
#include "commands/task_section.h"
#include "io/atomic_file.h"
#include "io/error.h"
#include "io/json.h"
#include "report/chart.h"
#include "report/page.h"

namespace loraxs {

int run(const SweepOptions& options, const CommonOptions& common) {
  if (!options.report.empty()) refuse_existing(options.report, "--report");
  const Settings settings = settings_of(common);
  check_task_name(options.task);
  const Task task = task_of(options.task, adapter_labels(options.from));
  Progress progress(settings.log);
  progress.begin("scoring");
  const std::vector<SweepPoint> sweep =
      sweep_between(open_model(options.adapter.model, settings), options.from, options.to, options.begin, options.end,
                    options.points, task, open_options_of(options.adapter), options.adapter.precision, settings);
  if (!options.report.empty()) {
    Curve curve{.name = "(1 − t) · from + t · to"};
    std::string rows;
    for (const SweepPoint& point : sweep) {
      curve.points.emplace_back(point.t, point.value);
      rows += concat("<tr><th>", short_number(point.t), "</th><td>", short_number(point.value), "</td></tr>\n");
    }
    write_file_atomically(
        options.report, html_page("Between two adapters",
                                  concat("t = 0: ", options.from, ", t = 1: ", options.to, ", task ", task.name, ", ",
                                         task.validation.size(), " examples"),
                                  html_charts({svg_chart({.title = task.metric, .x_label = "t", .curves = {curve}})}) +
                                      "<h2>Numbers</h2><table>" + rows + "</table>"));
  }
  if (!common.json) std::cout << "| t | " << task.metric << " |\n|---|---|\n";
  for (const SweepPoint& point : sweep) {
    if (common.json) {
      std::cout << nlohmann::json({{"t", point.t}, {"metric", task.metric}, {"value", point.value}}).dump() << '\n';
    } else {
      std::cout << "| " << short_number(point.t) << " | " << short_number(point.value) << " |\n";
    }
  }
  return 0;
}

}  // namespace loraxs
