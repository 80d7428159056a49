#include <iostream>
#include <nlohmann/json.hpp>

#include "api/graded_task.h"
#include "api/predictor.h"
#include "commands/commands.h"
#include "commands/eval_language.h"
#include "commands/session.h"
#include "commands/task_section.h"
#include "data/task.h"
#include "io/error.h"

namespace loraxs {

int run_eval(const EvalOptions& options, const CommonOptions& common) {
  const auto task_with = [&](const std::vector<std::string>& labels) {
    Task task = task_of(options.task, labels);
    if (task.validation.empty()) throw Error(concat(options.task.data, ": expected examples to score, found none"));
    return task;
  };
  if (is_language_task(options.task.name)) return run_eval_language(options, common, task_with({}));
  const AdapterOptions& adapter = options.text.adapter;
  if (adapter.adapter.empty()) throw Error(concat("--adapter: expected one for ", options.task.name, ", found none"));
  const OpenedAdapter opened = open_adapter_of(adapter, common);
  warn_on_drift(opened.file, stderr_log(common));
  const HeadLayout& head = opened.bank->layout.head;
  const Task task = task_with(head.labels);
  check_head(opened.file, head, task);
  const TaskScore score = score_task(opened, adapter.precision, task);
  for (const int64_t index : score.failed) {
    std::cerr << "loraxs: " << example_name(task, index)
              << ": expected finite outputs, found NaN or infinity; it does not count\n";
  }
  if (common.json) {
    nlohmann::json result = {{"metric", task.metric}, {"value", score.value}, {"examples", score.examples}};
    if (!score.failed.empty()) result["failed"] = score.failed.size();
    std::cout << result.dump() << '\n';
  } else {
    std::cout << task.metric << ": " << score.value << " on " << score.examples << " examples\n";
  }
  return score.failed.empty() ? 0 : 2;
}

}  // namespace loraxs
