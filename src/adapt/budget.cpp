#include "adapt/budget.h"

#include <algorithm>

#include "adapt/method.h"
#include "io/error.h"

namespace loraxs {
namespace {

int64_t numbers_of(const std::vector<LayoutSegment>& segments) {
  int64_t numbers = 0;
  for (const LayoutSegment& segment : segments) numbers += segment.numel();
  return numbers;
}

/// What a method's rows take on some sites.
class MethodSize {
 public:
  MethodSize(const Method& method, const BudgetRequest& request) : method_(method), request_(request) {}

  int64_t at(const Site& site, int64_t rank) const {
    return numbers_of(method_.segments(site, rank, request_.options));
  }
  int64_t all(const std::vector<Site>& sites, int64_t rank) const {
    int64_t numbers = method_.shared == nullptr ? 0 : numbers_of(method_.shared(sites, rank, request_.options));
    for (const Site& site : sites) numbers += at(site, rank);
    return numbers;
  }
  int64_t largest_rank(const Site& site) const {
    const int64_t width = std::min(site.in_features, site.out_features);
    return method_.traits.any_rank ? std::max(site.in_features, site.out_features) : width;
  }

 private:
  const Method& method_;
  const BudgetRequest& request_;
};

/// The largest rank of all `sites` within the budget; 0 where not even 1 is.
int64_t uniform_rank(const MethodSize& size, const std::vector<Site>& sites, int64_t budget) {
  int64_t high = size.largest_rank(sites.front());
  for (const Site& site : sites) high = std::min(high, size.largest_rank(site));
  int64_t low = 0;  // fits; sizes grow with the rank
  while (low < high) {
    const int64_t rank = (low + high + 1) / 2;
    if (size.all(sites, rank) <= budget) {
      low = rank;
    } else {
      high = rank - 1;
    }
  }
  return low;
}

/// Gives what is left of the budget to the sites of `choice`, rank by rank.
void spend_rest(BudgetChoice& choice, const MethodSize& size, int64_t budget) {
  for (bool any = true; any;) {
    any = false;
    for (size_t i = 0; i < choice.sites.size(); ++i) {
      const Site& site = choice.sites[i];
      int64_t& rank = choice.ranks[i];
      if (rank == size.largest_rank(site)) continue;
      const int64_t step = size.at(site, rank + 1) - size.at(site, rank);
      if (choice.numbers + step > budget) continue;
      choice.numbers += step;
      ++rank;
      any = true;
    }
  }
}

}  // namespace

BudgetChoice choose_within_budget(const Architecture& architecture, const ModelConfig& config,
                                  const BudgetRequest& request, const std::string& where) {
  constexpr int64_t kWorthwhile = 4;  // below, fewer modules at a higher rank are preferred
  const Method& method = find_method(request.method, where);
  const MethodSize size(method, request);
  BudgetChoice best;
  int64_t least = 0;  // of rank 1 on the narrowest set
  for (const std::vector<std::string>& targets :
       {std::vector<std::string>{"all-linear"}, {"paper"}, {"site:query", "site:value"}, {"site:query"}}) {
    std::vector<Site> sites = select_sites(architecture, config, targets, where);
    if (!request.layers.empty()) {
      std::erase_if(sites, [&](const Site& site) {
        return std::ranges::find(request.layers, site.layer) == request.layers.end();
      });
    }
    if (sites.empty()) continue;
    least = size.all(sites, 1);
    if (method.traits.owns_weight || size.all(sites, 2) == least) {
      throw Error(
          concat(where, ": method.budget: expected a method whose size follows from a rank, found ", request.method));
    }
    const int64_t rank = uniform_rank(size, sites, request.numbers);
    if (rank <= best.rank) continue;
    best = {.targets = targets,
            .rank = rank,
            .sites = sites,
            .ranks = std::vector<int64_t>(sites.size(), rank),
            .numbers = size.all(sites, rank)};
    if (rank >= kWorthwhile) break;
  }
  if (best.rank == 0) {
    throw Error(concat(where, ": method.budget: expected at least ", least,
                       " numbers (rank 1 on every query projection), found ", request.numbers));
  }
  if (!request.one_rank && method.shared == nullptr) spend_rest(best, size, request.numbers);
  return best;
}

}  // namespace loraxs
