#include "eval/graders/answer_text.h"

#include <algorithm>
#include <array>
#include <span>

namespace loraxs {
namespace {

std::string text_before(const std::string& text, std::span<const char* const> marks) {
  size_t end = text.size();
  for (const char* mark : marks) end = std::min(end, text.find(mark));
  return text.substr(0, end);
}

}  // namespace

std::string strict_text(const std::string& text) {
  static constexpr std::array kHeadings = {"### Instruction:", "### Response:"};
  return text_before(text, kHeadings);
}

std::string compatible_text(const std::string& text) {
  static constexpr std::array kWords = {"Instruction", "Response"};
  return text_before(text, kWords);
}

std::optional<std::string> text_after_last(const std::string& text, std::string_view mark) {
  const size_t at = text.rfind(mark);
  if (at == std::string::npos) return std::nullopt;
  return trimmed(std::string_view(text).substr(at + mark.size()));
}

std::optional<std::string> last_boxed(const std::string& text) {
  constexpr std::string_view kOpen = "\\boxed{";
  const size_t at = text.rfind(kOpen);
  if (at == std::string::npos) return std::nullopt;
  const size_t begin = at + kOpen.size();
  int64_t depth = 1;
  for (size_t i = begin; i < text.size(); ++i) {
    if (text[i] == '{') ++depth;
    if (text[i] == '}' && --depth == 0) return text.substr(begin, i - begin);
  }
  return std::nullopt;
}

std::string trimmed(std::string_view text) {
  constexpr const char* kBlanks = " \t\r\n\f\v";
  const size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return "";
  return std::string(text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1));
}

}  // namespace loraxs
