#include "io/base64.h"

#include <array>
#include <cstddef>
#include <cstdint>

#include "io/error.h"

namespace loraxs {
namespace {

constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr uint8_t kNoDigit = 64;

constexpr std::array<uint8_t, 256> kValues = [] {
  std::array<uint8_t, 256> values{};
  values.fill(kNoDigit);
  for (size_t i = 0; i < kDigits.size(); ++i) values[static_cast<unsigned char>(kDigits[i])] = static_cast<uint8_t>(i);
  return values;
}();

}  // namespace

std::string encode_base64(std::string_view bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  uint32_t bits = 0;
  uint32_t count = 0;
  for (const char c : bytes) {
    bits = bits << 8U | static_cast<unsigned char>(c);
    for (count += 8; count >= 6;) {
      count -= 6;
      text += kDigits[bits >> count & 63U];
    }
  }
  if (count > 0) text += kDigits[bits << (6 - count) & 63U];
  text.append((4 - text.size() % 4) % 4, '=');
  return text;
}

std::string decode_base64(std::string_view text, const std::string& where) {
  const size_t end = std::min(text.size(), text.find('='));
  if (text.size() - end > 2 || text.find_first_not_of('=', end) != std::string_view::npos) {
    throw Error(concat(where, ": expected base64, found something behind its end, '='"));
  }
  std::string bytes;
  bytes.reserve(end / 4 * 3 + 3);
  uint32_t bits = 0;
  uint32_t count = 0;
  for (const char c : text.substr(0, end)) {
    const uint8_t value = kValues[static_cast<unsigned char>(c)];
    if (value == kNoDigit) throw Error(concat(where, ": expected base64, found '", c, "'"));
    bits = bits << 6U | value;
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes += static_cast<char>(bits >> count & 0xFFU);
  }
  return bytes;
}

}  // namespace loraxs
