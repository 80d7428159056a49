// text/jinja/string_literal.h: what stands between the quotes of a text in a template.
#pragma once
#include <string>
#include <string_view>

namespace loraxs::jinja {

/// Python's escapes: \n \t \\ \' \x41 \u00e9 \U0001F600 \101 and their kin; an unknown one keeps its backslash.
/// Throws SyntaxFailure for a truncated one.
std::string unescape(std::u32string_view literal, int line);

}  // namespace loraxs::jinja
