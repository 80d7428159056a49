// text/added_tokens.h: tokens that stand outside of a tokenizer's model and are found in the text before it runs.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/normalizer.h"
#include "text/token_finder.h"

namespace loraxs {

struct AddedToken {
  std::string content;
  int32_t id = 0;
  bool special = false;      // left out by decode's skip_special, and plain text to encode_text without parse_special
  bool normalized = false;   // looked for in normalized text, itself normalized; else in the text as written
  bool lstrip = false;       // takes the white space before it along
  bool rstrip = false;       // … behind it
  bool single_word = false;  // only where no word character touches it
};

/// Finds added tokens as Hugging Face does: leftmost, then longest. Linear in the text, however many tokens there are.
class AddedTokens {
 public:
  /// Later tokens of the same content replace earlier ones.
  AddedTokens(const std::vector<AddedToken>& tokens, const std::vector<Normalizer>& normalizer);

  struct Part {
    size_t begin = 0, end = 0;          // bytes of the text
    const AddedToken* token = nullptr;  // null: text between tokens
  };
  /// The parts of `text`, in order: tokens that are looked for in normalized text, or those in text as written.
  std::vector<Part> find(std::string_view text, bool normalized, bool parse_special) const;

  const AddedToken* by_id(int32_t id) const;
  const AddedToken* by_content(std::string_view content) const;
  const std::vector<AddedToken>& all() const { return tokens_; }

 private:
  std::vector<AddedToken> tokens_;
  std::unordered_map<int32_t, size_t> by_id_;
  std::unordered_map<std::string, size_t> by_content_;
  std::vector<size_t> bytes_;     // of each token, as it is looked for
  TokenFinder raw_, normalized_;  // values: indices of tokens_
};

}  // namespace loraxs
