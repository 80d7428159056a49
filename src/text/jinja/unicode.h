// text/jinja/unicode.h: Python's view of a text, code point by code point, over UTF-8.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "text/utf8.h"

namespace loraxs::jinja {

/// Damaged UTF-8 becomes U+FFFD.
std::u32string code_points(std::string_view text);
std::string utf8(std::u32string_view text);
int64_t length(std::string_view text);  // in code points

bool is_space(char32_t code_point);      // str.isspace
bool is_printable(char32_t code_point);  // str.isprintable

enum class Side { kLeft, kRight, kBoth };
/// str.strip, lstrip, rstrip: whitespace, or every code point of `chars` if that is not null.
std::string strip(std::string_view text, Side side = Side::kBoth, const std::string* chars = nullptr);

std::string upper(std::string_view text);
std::string lower(std::string_view text);
std::string casefold(std::string_view text);
std::string swapcase(std::string_view text);
std::string capitalize(std::string_view text);  // str.capitalize
std::string title(std::string_view text);       // str.title

/// str.isupper and its kin: every code point satisfies the predicate, and there is one.
bool all_cased(std::string_view text, bool upper);
bool is_title(std::string_view text);
enum class CharacterSet { kAlpha, kDecimal, kDigit, kNumeric, kAlnum, kSpace, kPrintable, kAscii };
bool all_in(std::string_view text, CharacterSet set);
bool is_identifier(std::string_view text);

}  // namespace loraxs::jinja
