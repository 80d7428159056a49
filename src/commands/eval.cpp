#include "cli/subcommands/eval.h"

#include <iostream>
#include <nlohmann/json.hpp>

#include "api/graded_task.h"
#include "api/predictor.h"
#include "commands/eval_language.h"
#include "commands/progress.h"
#include "commands/session.h"
#include "commands/task_section.h"
#include "data/task.h"
#include "io/error.h"
#include "io/json.h"

namespace loraxs {
namespace {

/// Options that only a language model's task has would change nothing; said rather than ignored.
void refuse_language_options(const EvalOptions& options) {
  const EvalOptions none;
  const char* of_answers = given_answer_option(options);
  const std::pair<const char*, bool> given[] = {
      {"--answers", !options.answers.empty()},      {"--by", options.by != none.by},
      {"--prompt", options.prompt != none.prompt},  {"--window", options.window != none.window},
      {"--stride", options.stride != none.stride},  {"--context", options.text.context != none.text.context},
      {"--memory-gb", options.text.memory_gb != 0}, {"--batch", options.batch != none.batch},
      {of_answers, of_answers != nullptr}};
  for (const auto& [name, said] : given) {
    if (!said) continue;
    throw Error(concat(name, ": expected a task of language models, found ", options.task.name,
                       "; loraxs predict --json writes what a classifier says of every text"));
  }
}

}  // namespace

int run(const EvalOptions& options, const CommonOptions& common) {
  check_task_name(options.task);
  const auto expect_examples = [](const Task& task, const std::string& data) {
    if (task.validation.empty()) throw Error(concat(data, ": expected examples to score, found none"));
  };
  if (is_language_task(options.task.name)) {
    const EvalTasks tasks = eval_tasks(options.task);
    for (const Task& task : tasks.tasks) expect_examples(task, concat(options.task.data, " (", task.name, ")"));
    return run_eval_language(options, common, tasks);
  }
  refuse_language_options(options);
  const AdapterOptions& adapter = options.text.adapter;
  if (adapter.adapter.empty()) throw Error(concat("--adapter: expected one for ", options.task.name, ", found none"));
  const Task task = task_of(options.task, adapter_labels(adapter.adapter));
  expect_examples(task, options.task.data);
  const OpenedAdapter opened = open_adapter_of(adapter, common);
  warn_on_drift(opened.file, stderr_log(common));
  check_head(opened.file, opened.bank->layout->head, task);
  Progress progress(stderr_log(common));
  progress.begin("scoring");
  const TaskScore score = score_task(opened, adapter.precision, task);
  for (const int64_t index : score.failed) {
    const std::string found = ": expected finite outputs, found NaN or infinity; it does not count";
    std::cerr << "loraxs: " << safe_message(example_name(task, index) + found) << '\n';
  }
  if (common.json) {
    nlohmann::ordered_json result = {{"task", task.name},     {"model", adapter.model}, {"adapter", adapter.adapter},
                                     {"metric", task.metric}, {"value", score.value},   {"examples", score.examples}};
    if (!score.failed.empty()) result["failed"] = score.failed.size();
    std::cout << json_text(result) << '\n';
  } else {
    std::cout << task.metric << ": " << score.value << " on " << score.examples << " examples\n";
  }
  return score.failed.empty() ? 0 : 2;
}

}  // namespace loraxs
