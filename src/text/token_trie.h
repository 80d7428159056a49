// text/token_trie.h: tokens by their bytes, walked from the left.
#pragma once
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace loraxs {

/// Nine bytes a node: the children of a node stand side by side, sorted, and those of the next node behind them.
class TokenTrie {
 public:
  static constexpr int32_t kRoot = 0, kNone = -1;

  TokenTrie() : TokenTrie(std::vector<std::pair<std::string_view, int32_t>>()) {}
  /// Texts with their values (≥ 0); of equal texts the first one counts. Time and memory are linear in the bytes, but
  /// for the sorting.
  explicit TokenTrie(std::vector<std::pair<std::string_view, int32_t>> tokens);

  /// The node below `node` by one more byte, or kNone.
  int32_t child(int32_t node, char byte) const {
    const int32_t begin = first_child_[node], end = first_child_[node + 1];
    return end - begin <= kFew ? find_of_few(begin, end, byte) : find_of_many(begin, end, byte);
  }
  /// The value of the text that ends at `node`, or kNone.
  int32_t value(int32_t node) const { return values_[node]; }
  /// Where `text` leads from `node`, or kNone.
  int32_t walk(int32_t node, std::string_view text) const;

  size_t size() const { return values_.size(); }                          // nodes; a parent comes before its children
  int32_t first_child(int32_t node) const { return first_child_[node]; }  // one past the last: of node + 1
  char label(int32_t node) const { return static_cast<char>(labels_[node]); }

 private:
  static constexpr int32_t kFew = 8;
  int32_t find_of_few(int32_t begin, int32_t end, char byte) const {
    for (int32_t i = begin; i < end; ++i) {
      if (labels_[i] == static_cast<unsigned char>(byte)) return i;
    }
    return kNone;
  }
  int32_t find_of_many(int32_t begin, int32_t end, char byte) const;

  std::vector<int32_t> first_child_;   // [nodes + 1]
  std::vector<unsigned char> labels_;  // [nodes] the byte that leads there
  std::vector<int32_t> values_;        // [nodes]
};

}  // namespace loraxs
