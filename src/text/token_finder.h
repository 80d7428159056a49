// text/token_finder.h: where tokens stand in a text, the longest at each place, in time linear in the text.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/token_trie.h"

namespace loraxs {

/// Aho and Corasick's automaton over the tokens written backwards: read from the end of a text, its longest match at a
/// place is the longest token that begins there.
class TokenFinder {
 public:
  TokenFinder() : TokenFinder(std::vector<std::pair<std::string, int32_t>>()) {}
  /// Texts, none of them empty, with their values (≥ 0); of equal texts the first one counts.
  explicit TokenFinder(std::vector<std::pair<std::string, int32_t>> tokens);

  struct Hit {
    size_t begin = 0;  // byte of the text
    int32_t value = 0;
  };
  /// The longest token at each place where one begins, from the last place to the first.
  std::vector<Hit> find_backwards(std::string_view text) const;

 private:
  int32_t next(int32_t state, char byte) const;

  TokenTrie trie_;                // a state is a node: what was read last, as far as it begins a token
  std::vector<int32_t> shorter_;  // [states] where reading goes on when the next byte does not fit
  std::vector<int32_t> value_;    // [states] of the longest token that ends there, or TokenTrie::kNone
  std::array<int32_t, 256> from_root_ = {};
};

}  // namespace loraxs
