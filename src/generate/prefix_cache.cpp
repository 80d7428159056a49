#include "generate/prefix_cache.h"

#include <stdexcept>

namespace loraxs {

PrefixCache::PrefixCache(int64_t blocks, int64_t tokens_per_block)
    : pool_(blocks),
      tokens_per_block_(tokens_per_block),
      place_of_(static_cast<size_t>(blocks)),
      idle_at_(static_cast<size_t>(blocks)) {}

std::optional<int32_t> PrefixCache::take() {
  if (pool_.num_free() == 0 && !idle_.empty()) {
    const int32_t block = idle_.front();
    idle_.pop_front();
    idle_at_[block].reset();
    kept_.erase(*place_of_[block]);
    place_of_[block].reset();
    pool_.release(block);
  }
  return pool_.take();
}

void PrefixCache::release(int32_t block) {
  pool_.release(block);
  if (place_of_[block] && pool_.references(block) == 1) idle_at_[block] = idle_.insert(idle_.end(), block);
}

void PrefixCache::use(int32_t block) {
  pool_.share(block);
  if (!idle_at_[block]) return;
  idle_.erase(*idle_at_[block]);
  idle_at_[block].reset();
}

std::vector<int32_t> PrefixCache::find(const std::string& key, std::span<const int32_t> tokens) {
  std::vector<int32_t> blocks;
  const auto whole = static_cast<size_t>(tokens_per_block_);
  for (int32_t before = kNone; tokens.size() >= whole; tokens = tokens.subspan(whole)) {
    const auto found = kept_.find(place(key, before, tokens.first(whole)));
    if (found == kept_.end()) break;
    before = found->second;
    use(before);
    blocks.push_back(before);
  }
  return blocks;
}

int32_t PrefixCache::keep(const std::string& key, int32_t before, std::span<const int32_t> tokens, int32_t block) {
  if (static_cast<int64_t>(tokens.size()) != tokens_per_block_ || place_of_[block] ||
      (before != kNone && !place_of_[before])) {
    throw std::logic_error("PrefixCache: expected a whole block behind one that is kept");
  }
  const auto [at, added] = kept_.emplace(place(key, before, tokens), block);
  if (added) {
    place_of_[block] = at;
    pool_.share(block);
    return block;
  }
  use(at->second);
  pool_.release(block);
  return at->second;
}

}  // namespace loraxs
