// text/jinja/unicode.h: Python's view of a text, code point by code point, over valid UTF-8.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "text/jinja/budget.h"
#include "text/jinja/value.h"
#include "text/utf8.h"

namespace loraxs::jinja {

/// A text from outside: damaged UTF-8 becomes U+FFFD.
Text valid_text(const std::string& text);
/// Damaged UTF-8 becomes U+FFFD.
std::u32string code_points(std::string_view text);
std::string utf8(std::u32string_view text);
int64_t length(std::string_view text);  // in code points
/// The byte where code point `index` begins; the end if there are no more.
size_t byte_offset(std::string_view text, int64_t index);

bool is_space(char32_t code_point);      // str.isspace
bool is_printable(char32_t code_point);  // str.isprintable
bool is_alnum(char32_t code_point);      // str.isalnum

enum class Side { kLeft, kRight, kBoth };
/// str.strip, lstrip, rstrip: whitespace, or every code point of `chars` if that is not null.
Text strip(const Text& text, Side side, const std::string* chars, Budget& budget);

Text upper(const Text& text, Budget& budget);
Text lower(const Text& text, Budget& budget);
Text casefold(const Text& text, Budget& budget);
Text swapcase(const Text& text, Budget& budget);
Text capitalize(const Text& text, Budget& budget);  // str.capitalize
Text title(const Text& text, Budget& budget);       // str.title

/// str.isupper and its kin: every code point satisfies the predicate, and there is one.
bool all_cased(std::string_view text, bool upper);
bool is_title(std::string_view text);
enum class CharacterSet { kAlpha, kDecimal, kDigit, kNumeric, kAlnum, kSpace, kPrintable, kAscii };
bool all_in(std::string_view text, CharacterSet set);
bool is_identifier(std::string_view text);

}  // namespace loraxs::jinja
