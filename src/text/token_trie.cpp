#include "text/token_trie.h"

#include <algorithm>
#include <cstring>

namespace loraxs {
namespace {

/// Tokens begin to end share the text of a node, which is as long as its depth.
struct TrieRange {
  size_t begin, end;
};

}  // namespace

TokenTrie::TokenTrie(std::vector<std::pair<std::string_view, int32_t>> tokens) : labels_{0} {
  std::stable_sort(tokens.begin(), tokens.end(), [](const auto& x, const auto& y) { return x.first < y.first; });
  // Level by level, so that children stand side by side and depth costs no stack.
  std::vector<TrieRange> level = {{0, tokens.size()}}, next;
  for (size_t depth = 0; !level.empty(); ++depth) {
    next.clear();
    for (TrieRange range : level) {
      values_.push_back(kNone);
      for (; range.begin < range.end && tokens[range.begin].first.size() == depth; ++range.begin) {
        if (values_.back() == kNone) values_.back() = tokens[range.begin].second;
      }
      first_child_.push_back(static_cast<int32_t>(labels_.size()));
      while (range.begin < range.end) {
        const auto label = static_cast<unsigned char>(tokens[range.begin].first[depth]);
        size_t end = range.begin;
        while (end < range.end && static_cast<unsigned char>(tokens[end].first[depth]) == label) ++end;
        labels_.push_back(label);
        next.push_back({range.begin, end});
        range.begin = end;
      }
    }
    level.swap(next);
  }
  first_child_.push_back(static_cast<int32_t>(labels_.size()));
}

int32_t TokenTrie::find_of_many(int32_t begin, int32_t end, char byte) const {
  const void* found = std::memchr(labels_.data() + begin, static_cast<unsigned char>(byte), end - begin);
  return found == nullptr ? kNone : static_cast<int32_t>(static_cast<const unsigned char*>(found) - labels_.data());
}

int32_t TokenTrie::walk(int32_t node, std::string_view text) const {
  for (const char byte : text) {
    if (node == kNone) break;
    node = child(node, byte);
  }
  return node;
}

}  // namespace loraxs
