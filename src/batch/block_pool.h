// batch/block_pool.h: which blocks of a key/value cache are in use, and by how many sequences.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

namespace loraxs {

/// Counts references to blocks 0 … size-1. A block that several sequences share (beams, a common prompt) is free again
/// when the last of them lets go. The lowest free block is given out first, so a run repeats itself.
class BlockPool {
 public:
  explicit BlockPool(int64_t size);

  std::optional<int32_t> take();  // nothing if all are in use
  void share(int32_t block);      // one more reference
  void release(int32_t block);    // one reference less; releasing a free block throws std::logic_error
  int64_t references(int32_t block) const { return references_.at(block); }
  int64_t size() const { return static_cast<int64_t>(references_.size()); }
  int64_t num_free() const { return static_cast<int64_t>(free_.size()); }

 private:
  std::vector<int32_t> references_;  // [blocks]
  std::vector<int32_t> free_;        // a heap, lowest block on top
};

}  // namespace loraxs
