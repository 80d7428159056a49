// text/jinja/text_builder.h: a text that grows, each byte charged before it is kept.
#pragma once
#include <string>
#include <string_view>
#include <utility>

#include "text/jinja/budget.h"
#include "text/utf8.h"

namespace loraxs::jinja {

class TextBuilder {
 public:
  explicit TextBuilder(Budget& budget) : budget_(budget) { budget_.text(0); }

  void append(std::string_view bytes) {
    budget_.grow(static_cast<int64_t>(text_.size()), static_cast<int64_t>(bytes.size()));
    text_.append(bytes);
  }
  void append(char byte) { append(std::string_view(&byte, 1)); }
  void append_code_point(char32_t c) {
    budget_.grow(static_cast<int64_t>(text_.size()), 4);
    append_utf8(text_, c);
  }
  /// `unit` so many times; none if `times` is negative.
  void append_repeated(std::string_view unit, int64_t times) {
    if (times <= 0 || unit.empty()) return;
    int64_t bytes = 0;
    if (__builtin_mul_overflow(times, static_cast<int64_t>(unit.size()), &bytes)) bytes = INT64_MAX;
    budget_.grow(static_cast<int64_t>(text_.size()), bytes);
    if (unit.size() == 1) {
      text_.append(times, unit.front());
      return;
    }
    text_.reserve(text_.size() + bytes);
    for (int64_t i = 0; i < times; ++i) text_.append(unit);
  }

  size_t size() const { return text_.size(); }
  std::string take() { return std::move(text_); }

 private:
  Budget& budget_;
  std::string text_;
};

}  // namespace loraxs::jinja
