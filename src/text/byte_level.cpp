#include "text/byte_level.h"

#include "text/utf8.h"

namespace loraxs {
namespace {

constexpr bool stands_for_itself(int byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

constexpr char32_t kLast = 0x143;  // 256 + 68 bytes that do not stand for themselves, less one

std::array<int, kLast + 1> make_bytes() {  // of each character of the alphabet, else -1
  std::array<int, kLast + 1> bytes;
  bytes.fill(-1);
  int next = 0x100;
  for (int byte = 0; byte < 256; ++byte) bytes[stands_for_itself(byte) ? byte : next++] = byte;
  return bytes;
}

const std::array<int, kLast + 1>& char_to_byte() {
  static const std::array<int, kLast + 1> bytes = make_bytes();
  return bytes;
}

}  // namespace

const std::array<std::string, 256>& byte_chars() {
  static const std::array<std::string, 256> chars = [] {
    std::array<std::string, 256> result;
    const auto& bytes = char_to_byte();
    for (char32_t c = 0; c <= kLast; ++c) {
      if (bytes[c] >= 0) append_utf8(result[bytes[c]], c);
    }
    return result;
  }();
  return chars;
}

void append_byte_chars(std::string& text, std::string_view bytes) {
  const auto& chars = byte_chars();
  for (const char byte : bytes) text += chars[static_cast<unsigned char>(byte)];
}

std::string bytes_of_token(std::string_view token) {
  std::string bytes;
  const auto& table = char_to_byte();
  for (size_t at = 0; at < token.size();) {
    const char32_t c = next_char(token, at);
    if (c > kLast || table[c] < 0) return std::string(token);
    bytes += static_cast<char>(table[c]);
  }
  return bytes;
}

}  // namespace loraxs
