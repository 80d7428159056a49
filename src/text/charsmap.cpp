#include "text/charsmap.h"

#include <algorithm>
#include <cstring>

#include "io/error.h"

namespace loraxs {
namespace {

/// Visits the units that texts can lead to, each after all that lead to it: what is shared by keys is visited once.
class CharsmapCheck {
 public:
  CharsmapCheck(const Charsmap& map, const std::string& where)
      : map_(map), where_(where), parents_(size()), seen_(size()) {}

  void run() {
    count_parents();
    visit_all();
  }

 private:
  static constexpr size_t kBytes = 256;  // the units that a node's bytes lead to are one aligned block
  struct Seen {
    uint32_t depth = 0;  // bytes of the longest key that leads there
    uint32_t shortest = UINT32_MAX;
    uint32_t leaves = 0;  // keys along the way, with its own
  };

  size_t size() const { return map_.units.size(); }

  [[noreturn]] void fail(const std::string& problem) const {
    throw Error(concat(where_, ": precompiled_charsmap: ", problem, "; the file is damaged"));
  }

  /// Calls visit(unit) for every unit that one more byte leads to from unit `at`.
  template <typename Visit>
  void for_each_child(size_t at, const Visit& visit) const {
    const size_t node = at ^ Charsmap::offset(map_.units[at]);
    if ((node | (kBytes - 1)) >= size()) {
      fail(concat("expected a trie of ", size(), " units that leads nowhere else, found one that leads to ", node));
    }
    for (size_t byte = 0; byte < kBytes; ++byte) {
      if (Charsmap::label(map_.units[node ^ byte]) == byte) visit(node ^ byte);
    }
  }

  void count_parents() {
    std::vector<uint32_t> waiting = {0};
    std::vector<bool> known(size());
    known[0] = true;
    while (!waiting.empty()) {
      const uint32_t at = waiting.back();
      waiting.pop_back();
      for_each_child(at, [&](size_t child) {
        ++parents_[child];
        if (!known[child]) {
          known[child] = true;
          waiting.push_back(static_cast<uint32_t>(child));
        }
      });
      ++reachable_;
    }
  }

  void visit_all() {
    seen_[0].shortest = 0;
    std::vector<uint32_t> ready = {0};
    size_t done = 0;
    if (parents_[0] > 0) fail("expected a trie, found a way back to its root");
    while (!ready.empty()) {
      const uint32_t at = ready.back();
      ready.pop_back();
      ++done;
      if (at != 0 && Charsmap::has_leaf(map_.units[at])) check_leaf(at);
      check_depth(seen_[at]);
      for_each_child(at, [&](size_t child) {
        Seen& next = seen_[child];
        next.depth = std::max(next.depth, seen_[at].depth + 1);
        next.shortest = std::min(next.shortest, seen_[at].shortest + 1);
        next.leaves = std::max(next.leaves, seen_[at].leaves);
        if (--parents_[child] == 0) ready.push_back(static_cast<uint32_t>(child));
      });
    }
    if (done < reachable_) fail("expected a trie, found a circle in it");
  }

  void check_leaf(uint32_t at) {
    const size_t place = Charsmap::value(map_.units[at ^ Charsmap::offset(map_.units[at])]);
    if (place >= map_.replacements.size()) {
      fail(concat("expected replacements below ", map_.replacements.size(), ", found one at ", place));
    }
    ++seen_[at].leaves;
    constexpr size_t kMostGrowth = 16;  // U+FDFA: 33 bytes for 3
    const size_t most = kMostGrowth * seen_[at].shortest;
    const char* text = map_.replacements.c_str() + place;
    if (strnlen(text, most + 1) > most) {
      fail(concat("expected a replacement of at most ", most, " bytes for a key of ", seen_[at].shortest,
                  ", found a longer one"));
    }
  }

  void check_depth(const Seen& seen) const {
    constexpr uint32_t kMostLeaves = 32;  // what Normalizer::NormalizePrefix of libsentencepiece 0.1.97 has room for
    constexpr uint32_t kDeepest = 256;    // each place of a text may look that far; NFKC's longest key has 18 bytes
    if (seen.leaves > kMostLeaves)
      fail(concat("expected at most ", kMostLeaves, " keys inside one another, found more"));
    if (seen.depth > kDeepest) fail(concat("expected keys of at most ", kDeepest, " bytes, found a longer one"));
  }

  const Charsmap& map_;
  const std::string& where_;
  std::vector<uint32_t> parents_;  // [units] of them not yet walked
  std::vector<Seen> seen_;         // [units]
  size_t reachable_ = 0;
};

}  // namespace

Charsmap parse_charsmap(std::string_view table, const std::string& where) {
  uint32_t trie_bytes = 0;
  if (table.size() >= sizeof trie_bytes) std::memcpy(&trie_bytes, table.data(), sizeof trie_bytes);
  if (trie_bytes == 0 || trie_bytes % sizeof(uint32_t) != 0 || trie_bytes > table.size() - sizeof trie_bytes) {
    throw Error(concat(where, ": precompiled_charsmap: expected a table with a trie, found ", table.size(),
                       " bytes that claim a trie of ", trie_bytes));
  }
  constexpr uint32_t kMostBytes = 4 << 20;  // NFKC with case folding has 250,000
  if (trie_bytes > kMostBytes) {
    throw Error(
        concat(where, ": precompiled_charsmap: expected a trie of at most ", kMostBytes, " bytes, found ", trie_bytes));
  }
  Charsmap map;
  map.units.resize(trie_bytes / sizeof(uint32_t));
  std::memcpy(map.units.data(), table.data() + sizeof trie_bytes, trie_bytes);
  map.replacements = table.substr(sizeof trie_bytes + trie_bytes);
  return map;
}

void check_charsmap(const Charsmap& map, const std::string& where) { CharsmapCheck(map, where).run(); }

}  // namespace loraxs
