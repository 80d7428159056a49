// text/bert_normalizer.h: the text cleaning and word splitting of BERT, as Hugging Face's Rust tokenizers do it.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace loraxs {

struct BertNormalizerConfig {
  bool clean_text = true;            // drop control characters, turn white space into blanks
  bool handle_chinese_chars = true;  // every CJK character is a word
  bool strip_accents = true;         // NFD, then drop nonspacing marks
  bool lowercase = true;
};

/// Words of `text` after normalisation: split at white space, punctuation characters alone. Invalid UTF-8 is U+FFFD
/// (which clean_text drops). `number_of_chars` of a word counts code points.
struct Word {
  std::string text;
  int64_t num_chars = 0;
};
std::vector<Word> bert_words(std::string_view text, const BertNormalizerConfig& config);

}  // namespace loraxs
