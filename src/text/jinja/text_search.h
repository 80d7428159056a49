// text/jinja/text_search.h: where a text stands in another one, in time that grows with their lengths, not their
// product.
#pragma once
#include <string>
#include <string_view>

#include "text/jinja/budget.h"

namespace loraxs::jinja {

/// First byte of the first `part` at `begin` or behind, std::string::npos if there is none.
size_t find_part(std::string_view text, std::string_view part, size_t begin, Budget& budget);
/// First byte of the last `part`.
size_t find_last_part(std::string_view text, std::string_view part, Budget& budget);
/// How often `part`, which is not empty, stands in `text` without overlap, counted from the left; at most `most`.
int64_t count_parts(std::string_view text, std::string_view part, int64_t most, Budget& budget);

}  // namespace loraxs::jinja
