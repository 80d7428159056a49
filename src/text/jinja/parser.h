// text/jinja/parser.h: tokens to a syntax tree, by the grammar of Jinja2 3.1.
#pragma once
#include <string_view>

#include "text/jinja/statements.h"

namespace loraxs::jinja {

/// Throws SyntaxFailure; tags that load other templates (include, import, extends, block) are not supported.
Block parse(std::string_view source);

}  // namespace loraxs::jinja
