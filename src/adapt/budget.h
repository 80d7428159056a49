// adapt/budget.h: rank and modules from a number of trained numbers.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "model/architecture.h"

namespace loraxs {

struct BudgetChoice {
  std::vector<std::string> targets;  // as in a recipe
  int64_t rank = 0;
  int64_t num_sites = 0;
  int64_t numbers = 0;  // num_sites · rank², at most the budget
};

/// The largest rank r with num_sites · r² ≤ budget on the widest of these target sets for which r ≥ 4: all-linear, the
/// paper's, query and value, query alone; where none allows 4, the largest r on any of them, ties to more sites.
/// `layers` as in a recipe: empty = all. Throws Error when not even rank 1 on the narrowest set fits.
BudgetChoice choose_within_budget(const Architecture& architecture, const ModelConfig& config,
                                  const std::vector<int64_t>& layers, int64_t budget, const std::string& where);

}  // namespace loraxs
