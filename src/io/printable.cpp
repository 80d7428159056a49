#include "io/printable.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>

namespace loraxs {
namespace {

constexpr std::string_view kEllipsis = "…";

/// Bytes of the valid UTF-8 character at the beginning of a text that is not empty, with its code point; 0: none.
size_t read_character(std::string_view text, uint32_t& code_point) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const size_t length = byte(0) < 0x80 ? 1 : byte(0) < 0xC2 ? 0 : byte(0) < 0xE0 ? 2 : byte(0) < 0xF0 ? 3 : 4;
  if (length == 0 || byte(0) > 0xF4 || length > text.size()) return 0;
  code_point = length == 1 ? byte(0) : byte(0) & (0x7F >> length);
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
    code_point = code_point << 6 | (byte(i) & 0x3F);
  }
  constexpr std::array<uint32_t, 5> kSmallest = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = code_point >= 0xD800 && code_point <= 0xDFFF;
  return code_point < kSmallest[length] || surrogate || code_point > 0x10FFFF ? 0 : length;
}

/// Separators of lines, marks and overrides of direction, invisible controls (Unicode's Cf that has no use in a name).
bool obeyed_by_terminals(uint32_t c) {
  return c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0x61C || c == 0x200E || c == 0x200F ||
         (c >= 0x2028 && c <= 0x202E) || (c >= 0x2066 && c <= 0x206F) || c == 0xFEFF || (c >= 0xFFF9 && c <= 0xFFFB) ||
         (c >= 0xE0000 && c <= 0xE007F);
}

void append_escape(std::string& out, uint32_t c) {
  char escape[12];
  std::snprintf(escape, sizeof escape, c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", c);
  out += c == '\n' ? "\\n" : c == '\t' ? "\\t" : c == '\r' ? "\\r" : escape;
}

/// Characters of printable() from the front of `text`, as long as they fit into `most` bytes.
std::string printable_prefix(std::string_view text, size_t most) {
  std::string out, piece;
  while (!text.empty()) {
    uint32_t code_point = 0;
    const size_t length = read_character(text, code_point);
    piece.clear();
    if (length == 0) {
      append_escape(piece, static_cast<unsigned char>(text[0]));
    } else if (obeyed_by_terminals(code_point)) {
      append_escape(piece, code_point);
    } else {
      piece = text.substr(0, length);
    }
    if (out.size() + piece.size() > most) break;
    out += piece;
    text.remove_prefix(std::max<size_t>(1, length));
  }
  return out;
}

}  // namespace

std::string printable(std::string_view text) { return printable_prefix(text, SIZE_MAX); }

std::string printable_json(std::string_view json) {
  std::string out;
  out.reserve(json.size());
  for (size_t at = 0; at < json.size();) {
    uint32_t c = 0;
    const size_t length = std::max<size_t>(1, read_character(json.substr(at), c));
    char escape[16] = "";
    if (c >= 0x7F && c < 0x10000 && obeyed_by_terminals(c)) std::snprintf(escape, sizeof escape, "\\u%04x", c);
    if (c >= 0x10000 && obeyed_by_terminals(c)) {
      std::snprintf(escape, sizeof escape, "\\u%04x\\u%04x", 0xD7C0 + (c >> 10), 0xDC00 + (c & 0x3FF));
    }
    out += *escape == '\0' ? json.substr(at, length) : std::string_view(escape);
    at += length;
  }
  return out;
}

size_t first_invalid_utf8(std::string_view text) {
  for (size_t at = 0, length = 0; at < text.size(); at += length) {
    uint32_t code_point = 0;
    length = read_character(text.substr(at), code_point);
    if (length == 0) return at;
  }
  return std::string_view::npos;
}

std::string shortened(std::string_view text, size_t most) {
  // One character more than fits tells whether anything was left out.
  constexpr size_t kLongestPiece = 10;
  const std::string whole = printable_prefix(text, most + kLongestPiece);
  return whole.size() <= most ? whole : printable_prefix(whole, most - kEllipsis.size()).append(kEllipsis);
}

std::string safe_message(std::string_view text) {
  constexpr size_t kFront = 300, kBack = kMessageBytes - kFront - kEllipsis.size();
  // A piece is at most ten times as long as its source, and never shorter: the ends of the source hold what is shown.
  std::string whole = text.size() <= kMessageBytes ? printable(text) : "";
  if (!whole.empty() && whole.size() <= kMessageBytes) return whole;
  if (text.empty()) return "";
  std::string_view tail = text.substr(text.size() - std::min(text.size(), kBack));
  for (int i = 0; i < 3 && (static_cast<unsigned char>(tail.front()) & 0xC0) == 0x80; ++i) tail.remove_prefix(1);
  std::string back = printable(tail);
  size_t begin = back.size() - std::min(back.size(), kBack);
  while (begin < back.size() && (static_cast<unsigned char>(back[begin]) & 0xC0) == 0x80) ++begin;
  return printable_prefix(text, kFront).append(kEllipsis).append(back, begin);
}

}  // namespace loraxs
