// generate/prefix_cache.h: the blocks of a cache, among them those that a later prompt with the same beginning may use.
#pragma once
#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "batch/block_pool.h"

namespace loraxs {

/// A pool of blocks in which whole blocks of prompts can be found again: by key, by the block before, and by their own
/// tokens, which is by all tokens up to their end, compared one by one. A block that is kept so and that nobody uses is
/// idle; it counts as free and is given out when no other is, the one idle for longest first. A block is kept by the
/// cache's own reference, so whoever uses it uses those before it too, and idle ones go from the end of a prompt.
class PrefixCache {
 public:
  static constexpr int32_t kNone = -1;  // in place of the block before the first

  PrefixCache(int64_t blocks, int64_t tokens_per_block);

  std::optional<int32_t> take();  // nothing if all are in use
  void share(int32_t block) { pool_.share(block); }
  /// The user's reference ends. A sequence lets go of its blocks from the last to the first.
  void release(int32_t block);
  int64_t references(int32_t block) const { return pool_.references(block); }

  /// The kept blocks of the longest beginning of `tokens`, whole blocks only, shared with the caller.
  std::vector<int32_t> find(const std::string& key, std::span<const int32_t> tokens);
  /// Keeps `block`, the caller's, whose positions hold `tokens` [tokens_per_block], computed as a prompt behind block
  /// `before`, which is kept. -> the block to go on with: where an equal one was there, that one, shared, and `block`
  /// is released.
  int32_t keep(const std::string& key, int32_t before, std::span<const int32_t> tokens, int32_t block);

  int64_t num_blocks() const { return pool_.size(); }
  int64_t num_free() const { return pool_.num_free() + static_cast<int64_t>(idle_.size()); }
  int64_t num_kept() const { return static_cast<int64_t>(kept_.size()); }

 private:
  using Place = std::tuple<int32_t, std::string, std::vector<int32_t>>;  // before, key (of first blocks), tokens
  using Kept = std::map<Place, int32_t>;

  static Place place(const std::string& key, int32_t before, std::span<const int32_t> tokens) {
    return {before, before == kNone ? key : "", {tokens.begin(), tokens.end()}};
  }
  void use(int32_t block);

  BlockPool pool_;
  int64_t tokens_per_block_;
  Kept kept_;
  std::vector<std::optional<Kept::iterator>> place_of_;               // [blocks]
  std::list<int32_t> idle_;                                           // longest first
  std::vector<std::optional<std::list<int32_t>::iterator>> idle_at_;  // [blocks]
};

}  // namespace loraxs
