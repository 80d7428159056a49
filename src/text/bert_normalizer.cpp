#include "text/bert_normalizer.h"

#include "text/char_class.h"
#include "text/unicode_form.h"
#include "text/utf8.h"

namespace loraxs {
namespace {

bool is_chinese(char32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) ||
         (c >= 0x2A700 && c <= 0x2B73F) || (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

}  // namespace

std::string bert_normalize(const std::string& text, const BertNormalizerConfig& config, TextLimit& limit) {
  std::string clean;
  clean.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const char32_t c = next_char(text, at);
    constexpr char32_t kReplacement = 0xFFFD;
    if (config.clean_text && (c == 0 || c == kReplacement || is_control(c))) continue;
    if (config.clean_text && is_space(c)) {
      clean += ' ';
    } else if (config.handle_chinese_chars && is_chinese(c)) {
      clean += ' ';
      append_utf8(clean, c);
      clean += ' ';
    } else {
      append_utf8(clean, c);
    }
  }
  if (config.strip_accents) clean = to_unicode_form(std::move(clean), UnicodeForm::kNfd, limit);
  if (!config.strip_accents && !config.lowercase) return clean;
  std::string result;
  result.reserve(clean.size());
  for (size_t at = 0; at < clean.size();) {
    const char32_t c = next_char(clean, at);
    if (config.strip_accents && is_nonspacing_mark(c)) continue;
    config.lowercase ? append_lowercase(result, c) : append_utf8(result, c);
  }
  return result;
}

}  // namespace loraxs
