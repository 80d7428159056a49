#include <iostream>
#include <nlohmann/json.hpp>

#include "api/predictor.h"
#include "commands/commands.h"
#include "commands/eval_language.h"
#include "commands/session.h"
#include "data/task.h"
#include "io/error.h"
#include "io/fields.h"

namespace loraxs {
namespace {

/// The task that the options name. A known task reads its folder; one's own data is one file, whose labels are the
/// adapter's.
Task task_of(const EvalOptions& options, const std::vector<std::string>& labels) {
  nlohmann::json section = {{"name", options.task}};
  const bool own = options.task == "classification" || options.task == "regression" ||
                   (is_language_task(options.task) && !std::filesystem::is_directory(options.data));
  section[own ? "validation" : "data"] = options.data;
  if (own && !labels.empty()) section["labels"] = labels;
  if (options.limit > 0) section["max_validation_examples"] = options.limit;
  for (const std::string& assignment : options.set) {
    const size_t equals = assignment.find('=');
    if (equals == std::string::npos) throw Error(concat("--set ", assignment, ": expected key=value"));
    section[assignment.substr(0, equals)] = parse_yaml(assignment.substr(equals + 1), "--set " + assignment);
  }
  Fields fields(section, "command line", "task");
  Task task = load_task(fields, std::filesystem::current_path());
  if (task.validation.empty()) throw Error(concat(options.data, ": expected examples to score, found none"));
  return task;
}

}  // namespace

int run_eval(const EvalOptions& options, const CommonOptions& common) {
  if (is_language_task(options.task)) return run_eval_language(options, common, task_of(options, {}));
  const AdapterOptions& adapter = options.text.adapter;
  if (adapter.adapter.empty()) throw Error(concat("--adapter: expected one for ", options.task, ", found none"));
  const OpenedAdapter opened = open_adapter_of(adapter, common);
  warn_on_drift(opened.file, stderr_log(common));
  const HeadLayout& head = opened.bank->layout.head;
  const Task task = task_of(options, head.labels);
  if (task.num_outputs() != head.outputs || (!head.labels.empty() && task.labels != head.labels)) {
    throw Error(concat(adapter.adapter, ": expected a head of ", task.num_outputs(), " outputs for ", task.name,
                       ", found ", head.outputs, "; this adapter was trained for ", opened.file.provenance.task));
  }
  const TaskScore score = score_task(opened, adapter.precision, task);
  if (common.json) {
    std::cout << nlohmann::json({{"metric", task.metric}, {"value", score.value}, {"examples", score.examples}}).dump()
              << '\n';
  } else {
    std::cout << task.metric << ": " << score.value << " on " << score.examples << " examples\n";
  }
  return 0;
}

}  // namespace loraxs
