#include <iostream>
#include <nlohmann/json.hpp>

#include "api/predictor.h"
#include "commands/commands.h"
#include "commands/session.h"
#include "commands/task_section.h"
#include "data/task.h"
#include "io/error.h"

namespace loraxs {

int run_eval(const EvalOptions& options, const CommonOptions& common) {
  const OpenedAdapter opened = open_adapter_of(options.adapter, common);
  warn_on_drift(opened.file, stderr_log(common));
  const HeadLayout& head = opened.bank->layout.head;
  const Task task = task_of({.name = options.task, .data = options.data, .set = options.set}, head.labels);
  check_head(opened.file, head, task);
  if (task.validation.empty()) throw Error(concat(options.data, ": expected examples to score, found none"));
  const TaskScore score = score_task(opened, options.adapter.precision, task);
  if (common.json) {
    std::cout << nlohmann::json({{"metric", task.metric}, {"value", score.value}, {"examples", score.examples}}).dump()
              << '\n';
  } else {
    std::cout << task.metric << ": " << score.value << " on " << score.examples << " examples\n";
  }
  return 0;
}

}  // namespace loraxs
