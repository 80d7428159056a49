// text/byte_level.h: GPT-2's alphabet, in which each of the 256 bytes is one printable character.
#pragma once
#include <array>
#include <string>
#include <string_view>

namespace loraxs {

/// The character that stands for each byte, as UTF-8: itself where it is printable Latin-1, else from U+0100 on.
const std::array<std::string, 256>& byte_chars();

/// `bytes` written in that alphabet.
void append_byte_chars(std::string& text, std::string_view bytes);

/// The bytes that `token` stands for; a token with a character outside of the alphabet stands for itself.
std::string bytes_of_token(std::string_view token);

}  // namespace loraxs
