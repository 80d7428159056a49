#include "text/bert_normalizer.h"

#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>

#include <algorithm>

namespace loraxs {
namespace {

bool is_white(UChar32 c) { return c == '\t' || c == '\n' || c == '\r' || u_isUWhiteSpace(c); }

// General category as a mask, of characters that Unicode 8 knew: the category tables of Hugging Face's tokenizers stop
// there, so a later nonspacing mark or punctuation character is an ordinary letter to them.
uint32_t category_mask(UChar32 c) {
  UVersionInfo age;
  u_charAge(c, age);
  constexpr uint8_t kUnicode8 = 8;
  return age[0] > kUnicode8 ? 0 : U_GET_GC_MASK(c);
}

// tokenizers' is_control: the categories Cc, Cf, Cn, Co and Cs, but not tab, newline and carriage return.
bool is_control(UChar32 c) {
  if (c == '\t' || c == '\n' || c == '\r') return false;
  return (category_mask(c) & (U_GC_CC_MASK | U_GC_CF_MASK | U_GC_CO_MASK | U_GC_CS_MASK)) != 0;
}

bool is_punctuation(UChar32 c) {
  if (c < 128) return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) || (c >= 123 && c <= 126);
  return (category_mask(c) & U_GC_P_MASK) != 0;
}

bool is_chinese(UChar32 c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) ||
         (c >= 0x2A700 && c <= 0x2B73F) || (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

class WordCollector {
 public:
  void add(UChar32 c) {
    if (is_white(c)) {
      finish();
    } else if (is_punctuation(c)) {
      finish();
      append(c);
      finish();
    } else {
      append(c);
    }
  }
  void finish() {
    if (word_.num_chars > 0) words_.push_back(std::move(word_));
    word_ = {};
  }
  std::vector<Word> take() {
    finish();
    return std::move(words_);
  }

 private:
  void append(UChar32 c) {
    if (c < 128) {
      word_.text += static_cast<char>(c);
    } else {
      icu::UnicodeString(c).toUTF8String(word_.text);
    }
    ++word_.num_chars;
  }
  std::vector<Word> words_;
  Word word_;
};

std::vector<Word> ascii_words(std::string_view text, const BertNormalizerConfig& config) {
  WordCollector words;
  for (char c : text) {
    if (config.clean_text && (c == 0 || is_control(c))) continue;
    if (config.lowercase && c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    words.add(c);
  }
  return words.take();
}

}  // namespace

std::vector<Word> bert_words(std::string_view text, const BertNormalizerConfig& config) {
  if (std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 128; })) {
    return ascii_words(text, config);
  }
  icu::UnicodeString decoded = icu::UnicodeString::fromUTF8({text.data(), static_cast<int32_t>(text.size())});
  icu::UnicodeString clean;
  for (int32_t i = 0; i < decoded.length(); i = decoded.moveIndex32(i, 1)) {
    const UChar32 c = decoded.char32At(i);
    if (config.clean_text) {
      if (c == 0 || c == 0xFFFD || is_control(c)) continue;
      if (is_white(c)) {
        clean.append(static_cast<UChar>(' '));
        continue;
      }
    }
    if (config.handle_chinese_chars && is_chinese(c)) {
      clean.append(static_cast<UChar>(' ')).append(c).append(static_cast<UChar>(' '));
    } else {
      clean.append(c);
    }
  }
  if (config.strip_accents) {
    UErrorCode status = U_ZERO_ERROR;
    const icu::Normalizer2* nfd = icu::Normalizer2::getNFDInstance(status);
    clean = nfd->normalize(clean, status);
  }
  WordCollector words;
  for (int32_t i = 0; i < clean.length(); i = clean.moveIndex32(i, 1)) {
    UChar32 c = clean.char32At(i);
    if (config.strip_accents && (category_mask(c) & U_GC_MN_MASK) != 0) continue;
    if (config.lowercase) {
      if (c == 0x130) {  // the one letter whose lower case is two characters
        words.add('i');
        c = 0x307;
      } else {
        c = u_tolower(c);
      }
    }
    words.add(c);
  }
  return words.take();
}

}  // namespace loraxs
