// adapt/budget.h: rank and modules from a number of trained numbers.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "adapt/layout.h"

namespace loraxs {

/// What a budget may be spent on.
struct BudgetRequest {
  std::string method = "lora_xs";
  MethodOptions options;
  std::vector<int64_t> layers;  // as in a recipe: empty = all
  bool one_rank = false;        // a basis that is not nested has one rank for all
  int64_t numbers = 0;          // an adapter may have
};

struct BudgetChoice {
  std::vector<std::string> targets;  // as in a recipe
  int64_t rank = 0;                  // of every site
  std::vector<Site> sites;
  std::vector<int64_t> ranks;  // per site: `rank`, or more where the rest of the budget went
  int64_t numbers = 0;         // in all, at most the budget
};

/// The largest rank that fits on the widest of these target sets for which it is at least 4: all-linear, the paper's,
/// query and value, query alone; where none allows 4, the largest on any of them, ties to more sites. What is left
/// gives sites, in their canonical order, one rank more, round after round while some site's step fits: where no site
/// has reached its width, less than one step of a site stays. One rank for all where the method shares tensors between
/// sites or its basis is not nested. Throws Error when not even rank 1 on the narrowest set fits, and for a method
/// whose size does not depend on a rank.
BudgetChoice choose_within_budget(const Architecture& architecture, const ModelConfig& config,
                                  const BudgetRequest& request, const std::string& where);

}  // namespace loraxs
