#include "text/jinja/python_text.h"

#include <algorithm>

namespace loraxs::jinja {
namespace {

std::vector<std::string> split_at_space(const std::string& text, int64_t most, bool from_right) {
  std::u32string all = code_points(text);
  if (from_right) std::reverse(all.begin(), all.end());
  std::vector<std::string> parts;
  size_t at = 0;
  const auto skip = [&] {
    while (at < all.size() && is_space(all[at])) ++at;
  };
  for (skip(); at < all.size(); skip()) {
    size_t end = at;
    if (most >= 0 && static_cast<int64_t>(parts.size()) == most) {
      end = all.size();  // the rest, as it stands
    } else {
      while (end < all.size() && !is_space(all[end])) ++end;
    }
    std::u32string part = all.substr(at, end - at);
    if (from_right) std::reverse(part.begin(), part.end());
    parts.push_back(utf8(part));
    at = end;
    if (most >= 0 && static_cast<int64_t>(parts.size()) > most) break;
  }
  if (from_right) std::reverse(parts.begin(), parts.end());
  return parts;
}

}  // namespace

std::vector<std::string> split(const std::string& text, const std::string* separator, int64_t most, bool from_right) {
  if (separator == nullptr) return split_at_space(text, most, from_right);
  if (separator->empty()) throw Failure(FailureKind::kValue, "empty separator");
  std::vector<std::string> parts;
  if (from_right) {
    size_t end = text.size();
    while (most < 0 || static_cast<int64_t>(parts.size()) < most) {
      const size_t found =
          end < separator->size() ? std::string::npos : text.rfind(*separator, end - separator->size());
      if (found == std::string::npos) break;
      parts.push_back(text.substr(found + separator->size(), end - found - separator->size()));
      end = found;
    }
    parts.push_back(text.substr(0, end));
    std::reverse(parts.begin(), parts.end());
    return parts;
  }
  size_t begin = 0;
  while (most < 0 || static_cast<int64_t>(parts.size()) < most) {
    const size_t found = text.find(*separator, begin);
    if (found == std::string::npos) break;
    parts.push_back(text.substr(begin, found - begin));
    begin = found + separator->size();
  }
  parts.push_back(text.substr(begin));
  return parts;
}

std::vector<std::string> split_lines(const std::string& text, bool keep_ends) {
  const std::u32string all = code_points(text);
  const auto ends_line = [](char32_t c) {
    return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
  };
  std::vector<std::string> lines;
  for (size_t begin = 0; begin < all.size();) {
    size_t end = begin;
    while (end < all.size() && !ends_line(all[end])) ++end;
    size_t next = std::min(end + 1, all.size());
    if (end + 1 < all.size() && all[end] == '\r' && all[end + 1] == '\n') ++next;
    lines.push_back(utf8(std::u32string_view(all).substr(begin, (keep_ends ? next : end) - begin)));
    begin = next;
  }
  return lines;
}

std::string replaced(const std::string& text, const std::string& from, const std::string& to, int64_t most,
                     Budget& budget) {
  if (most < 0) most = static_cast<int64_t>(text.size()) + 1;
  std::vector<size_t> found;  // bytes where `from` stands; with an empty one, every start of a code point and the end
  for (size_t at = 0; at <= text.size() && static_cast<int64_t>(found.size()) < most;) {
    if (!from.empty()) at = text.find(from, at);
    if (at == std::string::npos) break;
    const bool inside = at < text.size() && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80;
    if (!from.empty() || !inside) found.push_back(at);
    at += from.empty() ? 1 : from.size();
  }
  budget.step(static_cast<int64_t>(found.size()));
  budget.text(static_cast<int64_t>(text.size() + found.size() * to.size()));
  std::string out;
  size_t begin = 0;
  for (const size_t at : found) {
    out.append(text, begin, at - begin).append(to);
    begin = at + from.size();
  }
  return out.append(text, begin);
}

std::string justified(const std::string& text, int64_t width, Side text_side, const std::string& fill, Budget& budget) {
  if (length(fill) != 1) throw Failure(FailureKind::kType, "The fill character must be exactly one character long");
  const int64_t missing = width - length(text);
  if (missing <= 0) return text;
  budget.text(missing);
  budget.text(static_cast<int64_t>(text.size()) + missing * static_cast<int64_t>(fill.size()));
  // Odd remainders of center go as CPython puts them.
  const int64_t left = text_side == Side::kLeft    ? 0
                       : text_side == Side::kRight ? missing
                                                   : missing / 2 + (missing & width & 1);
  std::string out;
  for (int64_t i = 0; i < left; ++i) out += fill;
  out += text;
  for (int64_t i = left; i < missing; ++i) out += fill;
  return out;
}

}  // namespace loraxs::jinja
