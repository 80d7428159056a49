// text/precompiled_normalizer.h: the normalisation table of a SentencePiece model, as tokenizer.json carries it.
#pragma once
#include <string>
#include <string_view>

#include "text/charsmap.h"
#include "text/text_limit.h"

namespace loraxs {

/// Hugging Face's tokenizers look up whole grapheme clusters of up to 5 bytes first, then single characters, and take
/// the shortest key that begins there: with a cluster that is no key but whose first character is one, the rest of the
/// cluster is lost. So here too.
class PrecompiledNormalizer {
 public:
  /// From base64. Throws Error, starting with `where`, for a damaged table.
  PrecompiledNormalizer(const std::string& base64, const std::string& where);
  /// Throws Error where the result is longer than the limit leaves.
  std::string operator()(const std::string& text, TextLimit& limit) const;

 private:
  bool append_replacement(std::string_view key, TextLimit& limit, std::string& out) const;
  Charsmap map_;
};

}  // namespace loraxs
