// text/precompiled_normalizer.h: the normalisation table inside a SentencePiece model, as tokenizer.json carries it.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/regex.h"

namespace loraxs {

/// A double-array trie (Darts) from UTF-8 to places in a blob of zero-terminated replacements. Hugging Face's
/// tokenizers look up whole grapheme clusters of up to 5 bytes first, then single characters, and take the shortest key
/// that begins there: with a cluster that is no key but whose first character is one, the rest of the cluster is lost.
/// So here too.
class PrecompiledNormalizer {
 public:
  /// From base64. Throws Error, starting with `where`, for a damaged table.
  PrecompiledNormalizer(const std::string& base64, const std::string& where);
  std::string operator()(const std::string& text) const;

 private:
  bool append_replacement(std::string_view key, std::string& out) const;
  std::vector<uint32_t> trie_;
  std::string replacements_;
  Regex graphemes_;
};

}  // namespace loraxs
