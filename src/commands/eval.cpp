#include <iostream>
#include <nlohmann/json.hpp>

#include "api/predictor.h"
#include "commands/commands.h"
#include "commands/session.h"
#include "data/task.h"
#include "io/error.h"
#include "io/fields.h"

namespace loraxs {

int run_eval(const EvalOptions& options, const CommonOptions& common) {
  const OpenedAdapter opened = open_adapter_of(options.adapter, common);
  warn_on_drift(opened.file, stderr_log(common));
  const HeadLayout& head = opened.bank->layout.head;
  // A known task reads its folder; one's own data is one file, whose labels are the adapter's.
  nlohmann::json section = {{"name", options.task}};
  if (options.task == "classification" || options.task == "regression") {
    section["validation"] = options.data;
    if (!head.labels.empty()) section["labels"] = head.labels;
  } else {
    section["data"] = options.data;
  }
  for (const std::string& assignment : options.set) {
    const size_t equals = assignment.find('=');
    if (equals == std::string::npos) throw Error(concat("--set ", assignment, ": expected key=value"));
    section[assignment.substr(0, equals)] = parse_yaml(assignment.substr(equals + 1), "--set " + assignment);
  }
  Fields fields(section, "command line", "task");
  const Task task = load_task(fields, std::filesystem::current_path());
  if (task.num_outputs() != head.outputs || (!head.labels.empty() && task.labels != head.labels)) {
    throw Error(concat(options.adapter.adapter, ": expected a head of ", task.num_outputs(), " outputs for ", task.name,
                       ", found ", head.outputs, "; this adapter was trained for ", opened.file.provenance.task));
  }
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
