// commands/task_section.h: the task that options of a command name.
#pragma once
#include <string>
#include <vector>

#include "cli/options.h"
#include "data/task.h"

namespace loraxs {

/// A known task reads its folder; of one's own data (or a language task's), `data` is the file to score, and
/// `labels` those of the adapter. `set` adds keys of a recipe's task section. Throws Error.
Task task_of(const TaskOptions& options, const std::vector<std::string>& labels);

}  // namespace loraxs
