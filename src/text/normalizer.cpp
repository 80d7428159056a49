#include "text/normalizer.h"

#include <algorithm>

#include "text/bert_normalizer.h"
#include "text/char_class.h"
#include "text/json_part.h"
#include "text/precompiled_normalizer.h"
#include "text/unicode_form.h"
#include "text/utf8.h"

namespace loraxs {
namespace {

using Steps = std::vector<Normalizer>;

Steps bert(Fields& fields) {
  BertNormalizerConfig config;
  config.clean_text = fields.boolean("clean_text", true);
  config.handle_chinese_chars = fields.boolean("handle_chinese_chars", true);
  config.lowercase = fields.boolean("lowercase", true);
  config.strip_accents = fields.boolean("strip_accents", config.lowercase);
  return {[config](const std::string& text, TextLimit& limit) { return bert_normalize(text, config, limit); }};
}

template <UnicodeForm form>
Steps unicode(Fields&) {
  return {[](std::string text, TextLimit& limit) { return to_unicode_form(std::move(text), form, limit); }};
}

Steps lowercase(Fields&) {
  return {[](const std::string& text, TextLimit&) {
    std::string lower;
    for (size_t at = 0; at < text.size();) append_lowercase(lower, next_char(text, at));
    return lower;
  }};
}

Steps precompiled(Fields& fields) {
  return {PrecompiledNormalizer(fields.text("precompiled_charsmap", ""), fields.where())};
}

Steps prepend(Fields& fields) {
  const std::string prefix = fields.text("prepend", "");
  return {[prefix](const std::string& text, TextLimit& limit) {
    if (text.empty()) return text;
    limit.require(prefix.size() + text.size());
    return prefix + text;
  }};
}

Steps replace_step(Fields& fields) {
  const Regex pattern = parse_pattern(fields, "pattern");
  const std::string content = fields.text("content", "");
  return {[=](const std::string& text, TextLimit& limit) { return pattern.replace_all(text, content, limit); }};
}

Steps strip_step(Fields& fields) {
  const bool left = fields.boolean("strip_left", true), right = fields.boolean("strip_right", true);
  return {[=](const std::string& text, TextLimit&) {
    size_t begin = std::string::npos, end = 0;  // of what is not white space
    for (size_t at = 0; at < text.size();) {
      const size_t start = at;
      if (is_space(next_char(text, at))) continue;
      begin = std::min(begin, start);
      end = at;
    }
    begin = left ? std::min(begin, text.size()) : 0;
    end = right ? std::max(begin, end) : text.size();
    return text.substr(begin, end - begin);
  }};
}

Steps strip_accents(Fields&) {
  return {[](const std::string& text, TextLimit&) {
    std::string kept;
    for (size_t at = 0; at < text.size();) {
      const size_t start = at;
      if (!is_mark(next_char(text, at))) kept.append(text, start, at - start);
    }
    return kept;
  }};
}

}  // namespace

Steps parse_normalizer(const nlohmann::json& json, const std::string& where) {
  static const PartTable<Steps> kinds = {{"BertNormalizer", bert},
                                         {"Lowercase", lowercase},
                                         {"NFC", unicode<UnicodeForm::kNfc>},
                                         {"NFD", unicode<UnicodeForm::kNfd>},
                                         {"NFKC", unicode<UnicodeForm::kNfkc>},
                                         {"NFKD", unicode<UnicodeForm::kNfkd>},
                                         {"Precompiled", precompiled},
                                         {"Prepend", prepend},
                                         {"Replace", replace_step},
                                         {"Strip", strip_step},
                                         {"StripAccents", strip_accents}};
  return parse_parts(json, "normalizer", "normalizers", kinds, where);
}

std::string normalize(const Steps& steps, std::string_view text, TextLimit& limit) {
  std::string result(text);
  for (const Normalizer& step : steps) {
    result = step(std::move(result), limit);
    limit.require(result.size());
  }
  return result;
}

}  // namespace loraxs
