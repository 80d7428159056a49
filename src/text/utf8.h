// text/utf8.h: code points of UTF-8 text.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace loraxs {

/// `text` with every invalid sequence (the longest prefix of a valid one, else one byte) replaced by U+FFFD, as
/// Python's and Rust's lossy decoders do.
std::string valid_utf8(std::string_view text);

bool is_valid_utf8(std::string_view text);

/// Bytes at the end of `text` that may become a character when more bytes follow: 0 to 3.
size_t incomplete_tail(std::string_view text);

/// The code point at `at` of valid UTF-8; moves `at` behind it.
char32_t next_char(std::string_view text, size_t& at);

/// A surrogate or a number above U+10FFFF becomes U+FFFD.
void append_utf8(std::string& text, char32_t c);

/// Bytes of the character that starts with `lead`.
inline size_t char_bytes(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

}  // namespace loraxs
