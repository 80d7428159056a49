// text/jinja/parser.h: tokens to a syntax tree, by the grammar of Jinja2 3.1.
#pragma once
#include <string_view>

#include "text/jinja/statements.h"

namespace loraxs::jinja {

struct Syntax {
  Block block;
  bool marks_generation = false;  // there is a {% generation %}
};

/// Throws SyntaxFailure; tags that load other templates (include, import, extends, block) are not supported.
Syntax parse(std::string_view source);

}  // namespace loraxs::jinja
