// train/recipe_changes.h: what of a recipe a resumed run must have in common with its beginning.
#pragma once
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "train/recipe.h"

namespace loraxs {

/// The resolved recipe without what decides no number of the run: places (model, output, device), threads, the time
/// between checkpoints, the memory limit, and the path of an adapter to start from, whose row counts instead.
nlohmann::json recipe_content(const Recipe& recipe);

/// Compares with the run's own recipe.yaml, where that is there and can be read. Throws Error naming each key that
/// differs with both values; `adapter`: what a run of its own may start from instead.
void refuse_changed_recipe(const std::filesystem::path& run, const Recipe& recipe,
                           const std::filesystem::path& adapter);

}  // namespace loraxs
