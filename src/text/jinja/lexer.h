// text/jinja/lexer.h: a template's text as tokens, with Jinja2's rules for white space around tags.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace loraxs::jinja {

struct Token {
  enum class Kind {
    kText,
    kPrintBegin,
    kPrintEnd,
    kTagBegin,
    kTagEnd,
    kName,
    kString,
    kInteger,
    kFloat,
    kOperator,
    kEnd
  };
  Kind kind = Kind::kEnd;
  std::string text;
  int64_t integer = 0;
  double real = 0;
  int line = 1;
};

/// As Jinja2 3.1 with trim_blocks and lstrip_blocks, which transformers sets. Throws SyntaxFailure.
std::vector<Token> tokenize(std::string_view source);

}  // namespace loraxs::jinja
