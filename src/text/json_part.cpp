#include "text/json_part.h"

#include "text/utf8.h"

namespace loraxs {

Regex parse_pattern(Fields& fields, const std::string& key) {
  Fields pattern = fields.object(key);
  if (pattern.has("String")) return Regex::literal(pattern.text("String", ""));
  if (pattern.has("Regex")) return Regex(pattern.text("Regex", ""), fields.where());
  fields.fail(key, "expected {\"String\": …} or {\"Regex\": …}");
}

std::string parse_char(Fields& fields, const std::string& key, const std::string& fallback) {
  const std::string text = fields.text(key, fallback);
  if (text.empty() || char_bytes(text[0]) != text.size()) {
    fields.fail(key, concat("expected one character, found \"", text, "\""));
  }
  return text;
}

std::string parse_affix(Fields& fields, const std::string& key, const std::string& fallback) {
  std::string text = fields.text(key, fallback);
  if (text.size() > kLongestAffix) {
    fields.fail(key, concat("expected at most ", kLongestAffix, " bytes, found ", text.size()));
  }
  return text;
}

}  // namespace loraxs
