#include "batch/block_pool.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <stdexcept>

namespace loraxs {

BlockPool::BlockPool(int64_t size) : references_(size, 0), free_(size) {
  std::iota(free_.begin(), free_.end(), 0);  // sorted: a heap already
}

std::optional<int32_t> BlockPool::take() {
  if (free_.empty()) return std::nullopt;
  std::pop_heap(free_.begin(), free_.end(), std::greater<>());
  const int32_t block = free_.back();
  free_.pop_back();
  references_[block] = 1;
  return block;
}

void BlockPool::share(int32_t block) {
  if (references_.at(block) == 0) throw std::logic_error("BlockPool: a free block cannot be shared");
  ++references_[block];
}

void BlockPool::release(int32_t block) {
  if (references_.at(block) == 0) throw std::logic_error("BlockPool: a free block was released");
  if (--references_[block] > 0) return;
  free_.push_back(block);
  std::push_heap(free_.begin(), free_.end(), std::greater<>());
}

}  // namespace loraxs
