#include "text/jinja/string_literal.h"

#include <unicode/uchar.h>

#include "io/error.h"
#include "text/jinja/failure.h"
#include "text/jinja/unicode.h"

namespace loraxs::jinja {
namespace {

int digit(char32_t c, int base) {
  const int value = c >= '0' && c <= '9'   ? static_cast<int>(c - '0')
                    : c >= 'a' && c <= 'f' ? static_cast<int>(c - 'a') + 10
                    : c >= 'A' && c <= 'F' ? static_cast<int>(c - 'A') + 10
                                           : base;
  return value < base ? value : -1;
}

/// Reads up to `most` digits at `at`.
uint32_t number(std::u32string_view literal, size_t& at, int base, int most, int& count) {
  uint32_t value = 0;
  for (count = 0; count < most && at < literal.size() && digit(literal[at], base) >= 0; ++count, ++at) {
    value = value * base + digit(literal[at], base);
  }
  return value;
}

char32_t named(std::u32string_view literal, size_t& at, int line) {
  const size_t end = literal.find(U'}', at);
  if (at < literal.size() && literal[at] == '{' && end != std::u32string_view::npos) {
    UErrorCode code = U_ZERO_ERROR;
    const std::string name = utf8(literal.substr(at + 1, end - at - 1));
    const UChar32 found = u_charFromName(U_UNICODE_CHAR_NAME, name.c_str(), &code);
    at = end + 1;
    if (U_SUCCESS(code) && name.find('\0') == std::string::npos) return static_cast<char32_t>(found);
  }
  throw SyntaxFailure("unknown Unicode character name", line);
}

}  // namespace

std::string unescape(std::u32string_view literal, int line) {
  static constexpr std::u32string_view kPlain = U"\\'\"abfnrtv", kMeaning = U"\\'\"\a\b\f\n\r\t\v";
  std::string text;
  for (size_t at = 0; at < literal.size();) {
    const char32_t c = literal[at++];
    if (c != '\\' || at == literal.size()) {
      append_utf8(text, c);
      continue;
    }
    const char32_t kind = literal[at++];
    int count = 0;
    if (const size_t found = kPlain.find(kind); found != std::u32string_view::npos) {
      append_utf8(text, kMeaning[found]);
    } else if (kind >= '0' && kind <= '7') {
      append_utf8(text, number(literal, --at, 8, 3, count));
    } else if (kind == 'x' || kind == 'u' || kind == 'U') {
      const int width = kind == 'x' ? 2 : kind == 'u' ? 4 : 8;
      const uint32_t value = number(literal, at, 16, width, count);
      if (count < width || value > 0x10FFFF) {
        throw SyntaxFailure(concat("truncated \\", static_cast<char>(kind), " escape"), line);
      }
      append_utf8(text, value);
    } else if (kind == 'N') {
      append_utf8(text, named(literal, at, line));
    } else if (kind != '\n') {
      text += '\\';
      append_utf8(text, kind);
    }
  }
  return text;
}

}  // namespace loraxs::jinja
