// text/jinja/python_text.h: Python's str methods that split, replace and fill.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "text/jinja/budget.h"
#include "text/jinja/unicode.h"
#include "text/jinja/value.h"

namespace loraxs::jinja {

/// str.split and rsplit; no separator: at runs of white space. `most` < 0: everywhere.
Value split(const std::string& text, const std::string* separator, int64_t most, bool from_right, Budget& budget);
/// str.splitlines: also at \v \f \x1c-\x1e \x85 U+2028 U+2029.
Value split_lines(const std::string& text, bool keep_ends, Budget& budget);
/// The end of the line that begins at byte `begin`, and where the next one begins (the same at the end of the text).
struct LineEnd {
  size_t end, next;
};
LineEnd line_end(std::string_view text, size_t begin);
/// str.replace; `most` < 0: all.
Text replaced(const Text& text, const std::string& from, const std::string& to, int64_t most, Budget& budget);
/// str.ljust (text on the left), rjust, center.
Text justified(const Text& text, int64_t width, Side text_side, const std::string& fill, Budget& budget);

}  // namespace loraxs::jinja
