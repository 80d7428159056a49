#include "text/token_finder.h"

#include <algorithm>

namespace loraxs {

TokenFinder::TokenFinder(std::vector<std::pair<std::string, int32_t>> tokens) {
  std::vector<std::pair<std::string_view, int32_t>> reversed;
  reversed.reserve(tokens.size());
  for (auto& [text, value] : tokens) {
    std::reverse(text.begin(), text.end());
    reversed.emplace_back(text, value);
  }
  trie_ = TokenTrie(std::move(reversed));
  for (int byte = 0; byte < 256; ++byte) {
    from_root_[byte] = std::max(trie_.child(TokenTrie::kRoot, static_cast<char>(byte)), TokenTrie::kRoot);
  }
  shorter_.assign(trie_.size(), TokenTrie::kRoot);
  value_.assign(trie_.size(), TokenTrie::kNone);
  for (int32_t node = 0; node < static_cast<int32_t>(trie_.size()); ++node) {  // parents first
    value_[node] = trie_.value(node) != TokenTrie::kNone ? trie_.value(node) : value_[shorter_[node]];
    for (int32_t child = trie_.first_child(node); child < trie_.first_child(node + 1); ++child) {
      shorter_[child] = node == TokenTrie::kRoot ? TokenTrie::kRoot : next(shorter_[node], trie_.label(child));
    }
  }
}

int32_t TokenFinder::next(int32_t state, char byte) const {
  for (; state != TokenTrie::kRoot; state = shorter_[state]) {
    if (const int32_t child = trie_.child(state, byte); child != TokenTrie::kNone) return child;
  }
  return from_root_[static_cast<unsigned char>(byte)];
}

std::vector<TokenFinder::Hit> TokenFinder::find_backwards(std::string_view text) const {
  std::vector<Hit> hits;
  int32_t state = TokenTrie::kRoot;
  for (size_t at = trie_.size() > 1 ? text.size() : 0; at-- > 0;) {
    state = next(state, text[at]);
    if (value_[state] != TokenTrie::kNone) hits.push_back({at, value_[state]});
  }
  return hits;
}

}  // namespace loraxs
