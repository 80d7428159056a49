#include "text/utf8.h"

#include <algorithm>

namespace loraxs {
namespace {

/// How far the bytes at `at` follow the pattern of one character (Unicode table 3-7), and how long it would be.
struct Scan {
  size_t valid = 0, length = 1;
};

Scan scan_char(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {1, 1};
  if (lead < 0xC2 || lead > 0xF4) return {0, 1};
  const size_t length = char_bytes(text[at]);
  unsigned char low = 0x80, high = 0xBF;  // of the second byte: no overlong forms, no surrogates, nothing over U+10FFFF
  if (lead == 0xE0) low = 0xA0;
  if (lead == 0xED) high = 0x9F;
  if (lead == 0xF0) low = 0x90;
  if (lead == 0xF4) high = 0x8F;
  size_t valid = 1;
  for (; valid < length && at + valid < text.size(); ++valid) {
    if (byte(valid) < low || byte(valid) > high) break;
    low = 0x80, high = 0xBF;
  }
  return {valid, length};
}

}  // namespace

std::string valid_utf8(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const Scan scan = scan_char(text, at);
    if (scan.valid == scan.length) {
      result.append(text, at, scan.length);
    } else {
      result += "\xEF\xBF\xBD";
    }
    at += std::max<size_t>(scan.valid, 1);
  }
  return result;
}

bool is_valid_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const Scan scan = scan_char(text, at);
    if (scan.valid < scan.length) return false;
    at += scan.length;
  }
  return true;
}

size_t incomplete_tail(std::string_view text) {
  for (size_t tail = 1; tail <= std::min<size_t>(3, text.size()); ++tail) {
    if ((static_cast<unsigned char>(text[text.size() - tail]) & 0xC0) == 0x80) continue;  // not the first byte yet
    const Scan scan = scan_char(text, text.size() - tail);
    return scan.valid == tail && scan.length > tail ? tail : 0;
  }
  return 0;
}

char32_t next_char(std::string_view text, size_t& at) {
  const size_t length = char_bytes(text[at]);
  char32_t c = static_cast<unsigned char>(text[at]);
  if (length > 1) c &= 0x7FU >> length;
  for (size_t i = 1; i < length; ++i) c = c << 6 | (static_cast<unsigned char>(text[at + i]) & 0x3F);
  at += length;
  return c;
}

void append_utf8(std::string& text, char32_t c) {
  if ((c >= 0xD800 && c <= 0xDFFF) || c > 0x10FFFF) c = 0xFFFD;
  if (c < 0x80) {
    text += static_cast<char>(c);
    return;
  }
  const int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;  // continuation bytes
  constexpr unsigned char kLead[] = {0, 0xC0, 0xE0, 0xF0};
  text += static_cast<char>(kLead[more] | c >> (6 * more));
  for (int i = more - 1; i >= 0; --i) text += static_cast<char>(0x80 | (c >> (6 * i) & 0x3F));
}

}  // namespace loraxs
