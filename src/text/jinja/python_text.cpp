#include "text/jinja/python_text.h"

#include <algorithm>

#include "text/jinja/failure.h"
#include "text/jinja/text_builder.h"
#include "text/jinja/text_search.h"

namespace loraxs::jinja {
namespace {

/// The list of texts that a split makes.
class Parts {
 public:
  explicit Parts(Budget& budget) : budget_(budget) { budget_.list(0); }
  void add(std::string_view part) {
    budget_.entry(size());
    budget_.text(static_cast<int64_t>(part.size()));
    values_.emplace_back(std::string(part));
  }
  int64_t size() const { return static_cast<int64_t>(values_.size()); }
  Value take(bool backwards = false) {
    if (backwards) std::reverse(values_.begin(), values_.end());
    return Value::list(std::move(values_));
  }

 private:
  Budget& budget_;
  Values values_;
};

bool space_at(std::string_view text, size_t at) { return is_space(next_char(text, at)); }

size_t char_before(std::string_view text, size_t at) {
  do {
    --at;
  } while ((static_cast<uint8_t>(text[at]) & 0xC0) == 0x80);
  return at;
}

Value split_at_space(std::string_view text, int64_t most, Budget& budget) {
  budget.walk(text.size());
  Parts parts(budget);
  for (size_t at = 0;;) {
    while (at < text.size() && space_at(text, at)) at += char_bytes(text[at]);
    if (at == text.size()) return parts.take();
    if (parts.size() == most) {  // the rest, as it stands
      parts.add(text.substr(at));
      return parts.take();
    }
    const size_t begin = at;
    while (at < text.size() && !space_at(text, at)) at += char_bytes(text[at]);
    parts.add(text.substr(begin, at - begin));
  }
}

Value split_at_space_from_right(std::string_view text, int64_t most, Budget& budget) {
  budget.walk(text.size());
  Parts parts(budget);
  for (size_t at = text.size();;) {
    while (at > 0 && space_at(text, char_before(text, at))) at = char_before(text, at);
    if (at == 0) return parts.take(/*backwards=*/true);
    if (parts.size() == most) {
      parts.add(text.substr(0, at));
      return parts.take(/*backwards=*/true);
    }
    const size_t end = at;
    while (at > 0 && !space_at(text, char_before(text, at))) at = char_before(text, at);
    parts.add(text.substr(at, end - at));
  }
}

/// Backwards, so that each search begins where the last one ended.
Value split_from_right(std::string_view text, std::string_view separator, int64_t most, Budget& budget) {
  budget.text(static_cast<int64_t>(text.size()));
  budget.text(static_cast<int64_t>(separator.size()));
  const std::string backwards(text.rbegin(), text.rend()), wanted(separator.rbegin(), separator.rend());
  Parts parts(budget);
  size_t end = text.size();
  while (most < 0 || parts.size() < most) {
    const size_t found = find_part(backwards, wanted, text.size() - end, budget);
    if (found == std::string::npos) break;
    const size_t begin = text.size() - found;  // of what stands right of the separator
    parts.add(text.substr(begin, end - begin));
    end = begin - separator.size();
  }
  parts.add(text.substr(0, end));
  return parts.take(/*backwards=*/true);
}

}  // namespace

Value split(const std::string& text, const std::string* separator, int64_t most, bool from_right, Budget& budget) {
  if (separator == nullptr) {
    return from_right ? split_at_space_from_right(text, most, budget) : split_at_space(text, most, budget);
  }
  if (separator->empty()) throw Failure(FailureKind::kValue, "empty separator");
  if (from_right) return split_from_right(text, *separator, most, budget);
  const std::string_view all = text;
  Parts parts(budget);
  size_t begin = 0;
  while (most < 0 || parts.size() < most) {
    const size_t found = find_part(all, *separator, begin, budget);
    if (found == std::string::npos) break;
    parts.add(all.substr(begin, found - begin));
    begin = found + separator->size();
  }
  parts.add(all.substr(begin));
  return parts.take();
}

LineEnd line_end(std::string_view text, size_t begin) {
  for (size_t at = begin; at < text.size();) {
    const size_t end = at;
    const char32_t c = next_char(text, at);
    const bool ends = (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
    if (ends) return {end, at + (c == '\r' && at < text.size() && text[at] == '\n' ? 1 : 0)};
  }
  return {text.size(), text.size()};
}

Value split_lines(const std::string& text, bool keep_ends, Budget& budget) {
  const std::string_view all = text;
  budget.walk(all.size());
  Parts lines(budget);
  for (size_t begin = 0; begin < all.size();) {
    const auto [end, next] = line_end(all, begin);
    lines.add(all.substr(begin, (keep_ends ? next : end) - begin));
    begin = next;
  }
  return lines.take();
}

Text replaced(const Text& text, const std::string& from, const std::string& to, int64_t most, Budget& budget) {
  const std::string_view all = *text;
  if (most < 0) most = INT64_MAX;
  TextBuilder out(budget);
  size_t begin = 0;
  if (from.empty()) {  // stands before every code point and at the end
    budget.walk(all.size());
    for (; most > 0; --most) {
      out.append(to);
      if (begin == all.size()) break;
      const size_t bytes = char_bytes(all[begin]);
      out.append(all.substr(begin, bytes));
      begin += bytes;
    }
    out.append(all.substr(begin));
    return out.take();
  }
  for (; most > 0; --most) {
    const size_t found = find_part(all, from, begin, budget);
    if (found == std::string::npos) break;
    budget.step();
    out.append(all.substr(begin, found - begin));
    out.append(to);
    begin = found + from.size();
  }
  if (begin == 0) return text;
  out.append(all.substr(begin));
  return out.take();
}

Text justified(const Text& text, int64_t width, Side text_side, const std::string& fill, Budget& budget) {
  if (length(fill) != 1) throw Failure(FailureKind::kType, "The fill character must be exactly one character long");
  budget.read(text->size());
  const int64_t missing = std::max<int64_t>(width, 0) - length(*text);
  if (missing <= 0) return text;
  // Odd remainders of center go as CPython puts them.
  const int64_t left = text_side == Side::kLeft    ? 0
                       : text_side == Side::kRight ? missing
                                                   : missing / 2 + (missing & width & 1);
  TextBuilder out(budget);
  out.append_repeated(fill, left);
  out.append(*text);
  out.append_repeated(fill, missing - left);
  return out.take();
}

}  // namespace loraxs::jinja
