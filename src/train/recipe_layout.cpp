#include "train/recipe_layout.h"

#include <algorithm>

#include "adapt/budget.h"
#include "adapt/method.h"
#include "io/error.h"

namespace loraxs {

namespace {

MethodOptions method_options(const MethodRecipe& method) {
  return {.rslora = method.rslora,
          .vectors = method.vectors,
          .tied = method.tied,
          .projection_seed = method.projection_seed};
}

/// Whether sites of different ranks have no common basis.
bool needs_one_rank(const MethodRecipe& method, const std::string& where) {
  return find_method(method.name, where).traits.reads_basis && !method_basis(method).nested();
}

}  // namespace

MethodRecipe resolve_budget(MethodRecipe method, const BaseModel& model, const std::string& where) {
  if (method.budget == 0) return method;
  const BudgetChoice choice = choose_within_budget(*model.architecture, model.config,
                                                   {.method = method.name,
                                                    .options = method_options(method),
                                                    .layers = method.layers,
                                                    .one_rank = needs_one_rank(method, where),
                                                    .numbers = method.budget},
                                                   where);
  if (method.name == "adalora" && method.adalora.target_rank > choice.rank) {
    throw Error(concat(where, ": method.adalora.target_rank: expected at most ", choice.rank,
                       ", which method.budget leaves a site, found ", method.adalora.target_rank));
  }
  method.budget = 0;
  method.rank = method.basis.rank = choice.rank;
  method.targets = choice.targets;
  for (size_t i = 0; i < choice.sites.size(); ++i) {
    if (choice.ranks[i] == choice.rank) continue;
    method.rank_pattern["site:" + choice.sites[i].name] = choice.ranks[i];
  }
  return method;
}

Layout recipe_layout(const MethodRecipe& method, const HeadLayout& head, const BaseModel& model,
                     const std::string& where) {
  TORCH_CHECK(method.budget == 0, "recipe_layout: a budget is resolved first");
  std::vector<Site> sites = select_sites(*model.architecture, model.config, method.targets, where);
  for (const int64_t layer : method.layers) {
    if (layer < 0 || layer >= model.config.num_hidden_layers) {
      throw Error(
          concat(where, ": method.layers: expected 0 to ", model.config.num_hidden_layers - 1, ", found ", layer));
    }
  }
  if (!method.layers.empty()) {
    std::erase_if(sites, [&](const Site& site) {
      return std::find(method.layers.begin(), method.layers.end(), site.layer) == method.layers.end();
    });
  }
  std::vector<int64_t> ranks(sites.size(), method.rank);
  std::vector<const std::string*> named(sites.size(), nullptr);
  for (const auto& [name, rank] : method.rank_pattern) {
    const std::vector<Site> matches = select_sites(*model.architecture, model.config, {name}, where);
    for (size_t i = 0; i < sites.size(); ++i) {
      if (std::find(matches.begin(), matches.end(), sites[i]) == matches.end()) continue;
      if (named[i] != nullptr) {
        throw Error(concat(where, ": method.rank_pattern: expected one entry for ", sites[i].name, ", found ",
                           *named[i], " and ", name));
      }
      named[i] = &name;
      ranks[i] = rank;
    }
  }
  if (needs_one_rank(method, where) &&
      std::adjacent_find(ranks.begin(), ranks.end(), std::not_equal_to<>()) != ranks.end()) {
    throw Error(concat(where, ": method.rank_pattern: expected a nested basis (top or bottom vectors), found ",
                       method.basis.vectors, " ", method_basis(method).variant, ", which has one basis per rank"));
  }
  return make_layout(method.name, sites, ranks, head, model.config.hidden_size, where, method_options(method));
}

BasisRecipe method_basis(const MethodRecipe& method) {
  BasisRecipe basis = method.basis;
  const MethodTraits& traits = find_method(method.name, "method").traits;
  if (traits.basis != nullptr) basis.variant = traits.basis;
  return basis;
}

bool starts_from_basis(const MethodRecipe& method) {
  return find_method(method.name, "method").traits.reads_basis || method.init == "svd";
}

bool starts_from_gradient(const Recipe& recipe) {
  return method_basis(recipe.method).variant == "gradient" && recipe.train.init_adapter.empty();
}

bool starts_from_inputs(const Recipe& recipe) {
  return method_basis(recipe.method).variant == "inputs" && recipe.train.init_adapter.empty();
}

HeadLayout task_head(const std::string& kind, const Task& task, const Architecture& architecture,
                     const std::string& where) {
  const bool decoder = architecture.kind == ModelKind::kDecoder;
  if (task.language_model() != decoder) {
    throw Error(
        concat(where, ": task.name: expected ",
               decoder ? "a language-model task (chat, instructions, gsm8k, text, …)" : "a task with labels or scores",
               " for ", architecture.model_type, ", found ", task.name));
  }
  if (decoder) return {};
  if (kind == "none") {
    throw Error(concat(where, ": head: expected full, output or pooler for ", task.name, ", found none"));
  }
  return make_head(kind, task.num_outputs(), task.regression(), architecture, where);
}

}  // namespace loraxs
