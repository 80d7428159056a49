// commands/task_section.h: the task that options of a command name.
#pragma once
#include <string>
#include <vector>

#include "cli/options.h"
#include "data/task.h"

namespace loraxs {

/// A known task reads its folder, of which `splits` says what is needed; of one's own data (or a language task's),
/// `data` is the file to score, and `labels` those of the adapter. `set` adds keys of a recipe's task section. A limit
/// counts examples, of plain text windows, which whoever cuts them counts. Throws Error.
Task task_of(const TaskOptions& options, const std::vector<std::string>& labels, Splits splits = Splits::kValidation);

/// Throws Error listing the known names where --task is none of them.
void check_task_name(const TaskOptions& options);

/// The labels of an adapter's head as its file says them; of a sum, those of its first. Empty: it has none.
std::vector<std::string> adapter_labels(const std::string& adapter);

/// The tasks that one evaluation scores: one, or the sets that a folder of --task commonsense holds.
struct EvalTasks {
  std::vector<Task> tasks;
  std::vector<std::string> absent;  // sets of the eight that have no folder there
  bool several = false;
};
EvalTasks eval_tasks(const TaskOptions& options);

}  // namespace loraxs
