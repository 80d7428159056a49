// commands/energy.h: `study energy`: how much of a task's gradient the subspaces of LoRA-XS hold.
#pragma once
#include "cli/subcommands/study.h"

namespace loraxs {

int run_energy(const StudyOptions& options, const CommonOptions& common);

}  // namespace loraxs
