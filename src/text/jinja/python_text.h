// text/jinja/python_text.h: Python's str methods that split, replace and fill.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "text/jinja/failure.h"
#include "text/jinja/unicode.h"

namespace loraxs::jinja {

/// str.split and rsplit; no separator: at runs of white space. `most` < 0: everywhere.
std::vector<std::string> split(const std::string& text, const std::string* separator, int64_t most, bool from_right);
/// str.splitlines: also at \v \f \x1c-\x1e \x85 U+2028 U+2029.
std::vector<std::string> split_lines(const std::string& text, bool keep_ends);
/// str.replace; `most` < 0: all. The size is charged before the text is made.
std::string replaced(const std::string& text, const std::string& from, const std::string& to, int64_t most,
                     Budget& budget);
/// str.ljust (text on the left), rjust, center.
std::string justified(const std::string& text, int64_t width, Side text_side, const std::string& fill, Budget& budget);

}  // namespace loraxs::jinja
