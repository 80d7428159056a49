#include "data/text_encoder.h"

namespace loraxs {

TextEncoder text_encoder_of(const Tokenizer& tokenizer) {
  return {.encode =
              [&](std::string_view text, bool add_special) {
                return tokenizer.encode_text(text, {.add_special = add_special, .parse_special = true});
              },
          .eos_ids = tokenizer.eos_ids(),
          .bos_token = token_text(tokenizer, tokenizer.bos_id()),
          .eos_token = eos_text(tokenizer),
          .special_text = [&](int32_t id) { return tokenizer.is_special(id) ? tokenizer.token_of(id) : nullptr; }};
}

std::string token_text(const Tokenizer& tokenizer, std::optional<int32_t> id) {
  const std::string* text = id ? tokenizer.token_of(*id) : nullptr;
  return text == nullptr ? "" : *text;
}

std::string eos_text(const Tokenizer& tokenizer) {
  const std::vector<int32_t>& ends = tokenizer.eos_ids();
  return ends.empty() ? "" : token_text(tokenizer, ends.front());
}

}  // namespace loraxs
