// data/text_encoder.h: what language data asks of a tokenizer.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

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

}  // namespace loraxs
