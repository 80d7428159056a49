// tests/fuzz/exercise_tokenizer.h: what must hold of any tokenizer that a file of others could make.
#pragma once
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "io/error.h"
#include "text/detokenizer.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

namespace loraxs::fuzz {

inline void require(bool holds) {
  if (!holds) std::abort();
}

/// Ids that are none below zero, texts of them in whole characters, and the same text at once as token by token.
inline void exercise(const Tokenizer& tokenizer, std::string_view text) {
  try {
    const std::vector<int32_t> ids = tokenizer.encode_text(text, {});
    tokenizer.encode(text, text, 64);
    std::string streamed;
    Detokenizer detokenizer(tokenizer, /*skip_special=*/false);
    for (const int32_t id : ids) {
      require(id >= 0);
      const std::string part = detokenizer.push(id);
      require(is_valid_utf8(part));
      streamed += part;
    }
    streamed += detokenizer.finish();
    require(streamed == tokenizer.decode(ids, /*skip_special=*/false));
  } catch (const Error&) {
  }
}

/// Words, numbers, blanks, marks, flags, special tokens, invalid UTF-8, and the beginning of the input itself.
inline void exercise_all(const Tokenizer& tokenizer, std::string_view input) {
  constexpr size_t kMost = 256;
  for (const std::string_view text :
       {std::string_view("Hello, wörld's 123  ab\n\n aab</s>"), std::string_view("ﬁ①e\u0301\u0316\u0327日本 ＡＢ"),
        std::string_view("\U0001F1E9\U0001F1EA\U0001F468\u200D\U0001F469 [CLS] <unk>"),
        std::string_view("\xFF\xE2\x82 \0 x", 7),
        std::string_view("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"), input.substr(0, kMost)}) {
    exercise(tokenizer, text);
  }
}

}  // namespace loraxs::fuzz
