// data/text_encoder.h: what language data asks of a tokenizer.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace loraxs {

struct TextEncoder {
  /// Ids of a text. Special tokens written in it are read as such; `add_special` puts BOS where the model expects it.
  std::function<std::vector<int32_t>(std::string_view text, bool add_special)> encode;
  std::vector<int32_t> eos_ids;      // the first one ends an answer; empty: none does
  std::string bos_token, eos_token;  // as texts, for chat templates
  /// The text of a special token, which ends whatever stands before it; null for other ids. May be empty: there are
  /// none.
  std::function<const std::string*(int32_t id)> special_text;
};

/// What `tokenizer` gives, which must outlive it.
TextEncoder text_encoder_of(const Tokenizer& tokenizer);

/// A special token as text; empty where there is none.
std::string token_text(const Tokenizer& tokenizer, std::optional<int32_t> id);
/// The token that ends a text, as text.
std::string eos_text(const Tokenizer& tokenizer);

}  // namespace loraxs
