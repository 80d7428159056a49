#include "batch/token_budget.h"

#include <algorithm>
#include <numeric>

namespace loraxs {

std::vector<std::vector<int64_t>> batches_by_tokens(std::span<const int64_t> lengths, int64_t tokens) {
  std::vector<int64_t> order(lengths.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t x, int64_t y) { return lengths[x] > lengths[y]; });
  std::vector<std::vector<int64_t>> batches;
  int64_t used = tokens;
  for (const int64_t index : order) {
    if (batches.empty() || used + lengths[index] > tokens) {
      batches.emplace_back();
      used = 0;
    }
    batches.back().push_back(index);
    used += lengths[index];
  }
  return batches;
}

}  // namespace loraxs
