// train/recipe_layout.h: which sites and ranks a recipe's `method` section means on a model.
#pragma once
#include <string>

#include "adapt/layout.h"
#include "data/task.h"
#include "model/base_model.h"
#include "train/recipe.h"

namespace loraxs {

/// The method with rank and targets where its recipe gave a budget, and budget 0. Throws Error with `where`.
MethodRecipe resolve_budget(MethodRecipe method, const BaseModel& model, const std::string& where);

/// `targets` within `layers`, at `rank` unless `rank_pattern` names another. Throws Error with `where` (the recipe's
/// file) for unknown modules, layers and ranks outside a site's width.
Layout recipe_layout(const MethodRecipe& method, const HeadLayout& head, const BaseModel& model,
                     const std::string& where);

/// The basis that the method's sites read, of the recipe's choice or the method's own.
BasisRecipe method_basis(const MethodRecipe& method);
/// Whether a run needs a basis: to compute with, or for its fresh rows.
bool starts_from_basis(const MethodRecipe& method);
/// Whether that basis and R come from the task's own gradient before the first step (train/gradient_start.h).
bool starts_from_gradient(const Recipe& recipe);
/// Whether that basis comes from what projections read of the task's texts (train/input_basis.h).
bool starts_from_inputs(const Recipe& recipe);

/// The head that a recipe's `head: kind` means for a task on a family: none for language models. Throws Error where
/// task, head and family do not go together.
HeadLayout task_head(const std::string& kind, const Task& task, const Architecture& architecture,
                     const std::string& where);

}  // namespace loraxs
