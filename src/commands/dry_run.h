// commands/dry_run.h: what a recipe would train, from config.json alone where weights or data are not at hand.
#pragma once
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "cli/options.h"
#include "model/base_model.h"
#include "train/recipe.h"

namespace loraxs {

/// The model as config.json (of a folder, or itself) or a GGUF file's metadata tell it, without weights.
BaseModel model_shape(const std::filesystem::path& path, const ReadingOptions& reading);

/// Parameters, steps, memory and bytes of the run that the recipe describes; nothing is trained. Throws Error for all
/// that the run would refuse before its first step, with `where`, the recipe's file, in front.
nlohmann::ordered_json plan_of_recipe(const Recipe& recipe, const std::string& where);
/// The same, printed.
int dry_run(const Recipe& recipe, const std::string& where, const CommonOptions& common);

}  // namespace loraxs
