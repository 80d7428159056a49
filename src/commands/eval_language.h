// commands/eval_language.h: `loraxs eval` for language models.
#pragma once
#include "cli/subcommands/eval.h"
#include "commands/task_section.h"

namespace loraxs {

/// An option that only generated answers read and that says something; null: there is none.
const char* given_answer_option(const EvalOptions& options);

int run_eval_language(const EvalOptions& options, const CommonOptions& common, const EvalTasks& tasks);

}  // namespace loraxs
