#include "text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <cctype>

#include "io/error.h"

namespace loraxs {
namespace {

/// PCRE2's own \s holds U+180E and its \w lacks marks; the originals' are these properties.
std::string with_unicode_classes(const std::string& pattern) {
  std::string result;
  bool in_class = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c != '\\' || i + 1 == pattern.size()) {
      if (c == '[') in_class = true;
      if (c == ']') in_class = false;
      result += c;
      continue;
    }
    const char escaped = pattern[++i];
    const std::string word = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc})";
    if (escaped == 's') {
      result += R"(\p{White_Space})";
    } else if (escaped == 'S') {
      result += R"(\P{White_Space})";
    } else if (escaped == 'w') {
      result += in_class ? word : "[" + word + "]";
    } else if (escaped == 'W' && !in_class) {
      result += "[^" + word + "]";
    } else {
      (result += c) += escaped;
    }
  }
  return result;
}

struct MatchData {
  pcre2_match_data* data;
  explicit MatchData(const pcre2_code* code) : data(pcre2_match_data_create_from_pattern(code, nullptr)) {}
  ~MatchData() { pcre2_match_data_free(data); }
  MatchData(const MatchData&) = delete;
  MatchData& operator=(const MatchData&) = delete;
};

std::string message_of(int code) {
  PCRE2_UCHAR buffer[256];
  pcre2_get_error_message(code, buffer, sizeof buffer);
  return reinterpret_cast<const char*>(buffer);
}

}  // namespace

Regex::Regex(const std::string& pattern, const std::string& where) : where_(where) {
  const std::string translated = with_unicode_classes(pattern);
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                                   PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error, &offset, nullptr);
  if (code == nullptr) {
    throw Error(concat(where, ": expected a regular expression, found \"", pattern, "\" (", message_of(error), ")"));
  }
  code_ = std::shared_ptr<void>(code, [](void* each) { pcre2_code_free(static_cast<pcre2_code*>(each)); });
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);  // where it fails the interpreter runs
}

void Regex::for_each_match(std::string_view text, const std::function<void(size_t, size_t)>& match) const {
  const auto* code = static_cast<const pcre2_code*>(code_.get());
  const MatchData match_data(code);
  const PCRE2_SIZE* range = pcre2_get_ovector_pointer(match_data.data);
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  uint32_t options = PCRE2_NO_UTF_CHECK;
  for (size_t at = 0; at < text.size();) {
    int found = pcre2_match(code, subject, text.size(), at, options, match_data.data, nullptr);
    if (found == PCRE2_ERROR_JIT_STACKLIMIT) {
      options |= PCRE2_NO_JIT;  // the interpreter's memory is the heap
      continue;
    }
    if (found == PCRE2_ERROR_NOMATCH) return;
    if (found < 0) throw Error(concat(where_, ": this text is too much for the expression (", message_of(found), ")"));
    at = range[1];
    if (range[1] > range[0]) {
      match(range[0], range[1]);
    } else {
      do ++at;
      while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80);
    }
  }
}

std::string Regex::replace_all(std::string_view text, std::string_view content) const {
  std::string result;
  size_t end_of_last = 0;
  for_each_match(text, [&](size_t begin, size_t end) {
    result.append(text.substr(end_of_last, begin - end_of_last)).append(content);
    end_of_last = end;
  });
  return result.append(text.substr(end_of_last));
}

std::string literal_pattern(std::string_view text) {
  std::string pattern;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 128 && !std::isalnum(byte)) pattern += '\\';
    pattern += c;
  }
  return pattern;
}

}  // namespace loraxs
