// text/bert_normalizer.h: the text cleaning of BERT, as Hugging Face's Rust tokenizers do it.
#pragma once
#include <string>

#include "text/text_limit.h"

namespace loraxs {

struct BertNormalizerConfig {
  bool clean_text = true;            // drop control characters, turn white space into blanks
  bool handle_chinese_chars = true;  // a blank on both sides of every CJK character
  bool strip_accents = true;         // NFD, then drop nonspacing marks
  bool lowercase = true;
};

/// Throws Error where the accents taken apart are longer than the limit leaves.
std::string bert_normalize(const std::string& text, const BertNormalizerConfig& config, TextLimit& limit);

}  // namespace loraxs
