// commands/dry_run.h: what a recipe would train, from config.json alone where weights or data are not at hand.
#pragma once
#include <string>

#include "cli/options.h"
#include "train/recipe.h"

namespace loraxs {

/// Prints parameters, steps, memory and bytes; trains and writes nothing. `where` starts errors: the recipe's file.
int dry_run(const Recipe& recipe, const std::string& where, const CommonOptions& common);

}  // namespace loraxs
