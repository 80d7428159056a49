// text/jinja/expression_parser.h: the grammar of expressions, weakest operator first.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "text/jinja/expressions.h"
#include "text/jinja/token_stream.h"

namespace loraxs::jinja {

class ExpressionParser {
 public:
  explicit ExpressionParser(TokenStream& tokens) : tokens_(tokens) {}

  Node expression(bool conditional = true);
  /// One expression, or a tuple without brackets. `end`: a name that ends it ("in", "recursive").
  Node tuple(bool conditional = true, const char* end = nullptr);
  /// A name, literal or bracketed expression.
  Node primary();
  /// name(…) | name … after the value, which may be null; `inline_start`: the first one has no bar before it.
  std::unique_ptr<Application> filters(Node value, bool inline_start);

  /// Starts the count of operators anew: a tag may hold so many and no more, which bounds the tree's depth.
  void begin_tag() { links_ = 0; }
  bool named_caller = false, named_varargs = false, named_kwargs = false;  // names seen since they were reset
  /// Filters and tests nobody knows. Inside an if they fail only when they are reached, so an if takes its own back.
  std::vector<SyntaxFailure> unknown;

 private:
  Node conditional();
  Node either();
  Node both();
  Node negation();
  Node comparison();
  Node sum();
  Node concatenation();
  Node product();
  Node power();
  Node unary(bool with_filters = true);
  Node postfix(Node node);
  Node filtered(Node node);
  Node subscript(Node node);
  Node test(Node node);
  CallArguments call_arguments();
  Node name_or_constant();
  Node collection(int line);
  Node dictionary(int line);
  bool ends_tuple(const char* end) const;
  /// One more operator in this tag.
  void link();
  void check_known(bool known, const char* kind, const std::string& name);

  TokenStream& tokens_;
  int links_ = 0;
  int nested_ = 0;
};

}  // namespace loraxs::jinja
