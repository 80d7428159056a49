// commands/train_fleet.h: `loraxs train` of a recipe with `fleet:`.
#pragma once
#include <functional>
#include <string>

#include "api/training.h"
#include "cli/options.h"
#include "train/recipe.h"

namespace loraxs {

/// Trains the fleet and prints what came of it. `stop_requested` is asked between rounds, and `resume_line` is the
/// command line that continues. Exit code 2 where a job has failed, 130 after a stop.
int train_fleet(const Recipe& recipe, const std::string& where, const RunOptions& options, const CommonOptions& common,
                const std::function<bool()>& stop_requested, const std::string& resume_line);

}  // namespace loraxs
