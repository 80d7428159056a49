#include "adapt/budget.h"

#include <algorithm>
#include <cmath>

#include "io/error.h"

namespace loraxs {
namespace {

int64_t largest_rank(const std::vector<Site>& sites, int64_t budget) {
  auto rank = static_cast<int64_t>(std::sqrt(static_cast<double>(budget) / static_cast<double>(sites.size())));
  for (const Site& site : sites) rank = std::min({rank, site.in_features, site.out_features});
  return rank;
}

}  // namespace

BudgetChoice choose_within_budget(const Architecture& architecture, const ModelConfig& config,
                                  const std::vector<int64_t>& layers, int64_t budget, const std::string& where) {
  constexpr int64_t kWorthwhile = 4;  // below, fewer modules at a higher rank are preferred
  BudgetChoice best;
  int64_t narrowest = 0;
  for (const std::vector<std::string>& targets :
       {std::vector<std::string>{"all-linear"}, {"paper"}, {"site:query", "site:value"}, {"site:query"}}) {
    std::vector<Site> sites = select_sites(architecture, config, targets, where);
    if (!layers.empty()) {
      std::erase_if(sites, [&](const Site& site) { return std::ranges::find(layers, site.layer) == layers.end(); });
    }
    const auto count = static_cast<int64_t>(sites.size());
    if (count == 0) continue;
    narrowest = count;
    const int64_t rank = largest_rank(sites, budget);
    if (rank <= best.rank) continue;
    best = {.targets = targets, .rank = rank, .num_sites = count, .numbers = count * rank * rank};
    if (rank >= kWorthwhile) return best;
  }
  if (best.rank == 0) {
    throw Error(concat(where, ": method.budget: expected at least ", narrowest,
                       " numbers (rank 1 on every query projection), found ", budget));
  }
  return best;
}

}  // namespace loraxs
