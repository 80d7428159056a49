// text/graphemes.h: what a reader sees as one character (Unicode's extended grapheme clusters), by ICU.
#pragma once
#include <functional>
#include <string_view>

namespace loraxs {

/// Calls `visit(begin, end)` for each cluster of `text` (valid UTF-8) from left to right, in bytes. Linear: PCRE2's \X
/// counts back through a run of flags for each of them. Thread-safe.
void for_each_grapheme(std::string_view text, const std::function<void(size_t, size_t)>& visit);

}  // namespace loraxs
