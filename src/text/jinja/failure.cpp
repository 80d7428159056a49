#include "text/jinja/failure.h"

#include <array>
#include <cstdio>

#include "text/utf8.h"

namespace loraxs::jinja {

std::string excerpt(std::string_view text, size_t most) {
  const std::string shown = valid_utf8(text.substr(0, most + 4));
  std::string result;
  for (size_t at = 0; at < shown.size();) {
    const char32_t c = next_char(shown, at);
    std::string piece;
    if (c == '\n') {
      piece = "\\n";
    } else if (c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0x2028 || c == 0x2029) {
      std::array<char, 8> buffer;
      std::snprintf(buffer.data(), buffer.size(), c < 0x100 ? "\\x%02x" : "\\u%04x", static_cast<unsigned>(c));
      piece = buffer.data();
    } else {
      append_utf8(piece, c);
    }
    if (result.size() + piece.size() > most) return result + "…";
    result += piece;
  }
  return result;
}

std::string in_quotes(std::string_view text) { return "'" + excerpt(text) + "'"; }

}  // namespace loraxs::jinja
