#include "commands/shell_line.h"

#include <cctype>
#include <cstdio>
#include <string_view>

#include "io/printable.h"

namespace loraxs {
namespace {

/// $'…': every byte that is no plain ASCII as \xHH.
std::string escaped_word(const std::string& word) {
  std::string text = "$'";
  for (const char c : word) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\'' || c == '\\') {
      text += std::string("\\") + c;
    } else if (byte >= 0x20 && byte < 0x7F) {
      text += c;
    } else {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\x%02x", byte);
      text += escape;
    }
  }
  return text + "'";
}

std::string shell_word(const std::string& word) {
  constexpr std::string_view kPlain = "_@%+=:,./-";
  bool plain = !word.empty();
  for (const char c : word)
    plain = plain && (std::isalnum(static_cast<unsigned char>(c)) != 0 || kPlain.find(c) != std::string_view::npos);
  if (plain) return word;
  if (printable(word) != word) return escaped_word(word);
  std::string text = "'";
  for (const char c : word) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return text + "'";
}

}  // namespace

std::string shell_line(const std::vector<std::string>& words) {
  std::string line;
  for (const std::string& word : words) line += (line.empty() ? "" : " ") + shell_word(word);
  return line;
}

}  // namespace loraxs
