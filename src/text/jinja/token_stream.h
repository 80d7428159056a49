// text/jinja/token_stream.h: the tokens of a template, read from front to back.
#pragma once
#include <string>
#include <vector>

#include "io/error.h"
#include "text/jinja/failure.h"
#include "text/jinja/lexer.h"

namespace loraxs::jinja {

class TokenStream {
 public:
  explicit TokenStream(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& current() const { return tokens_[at_]; }
  const Token& look() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  Token next() { return at_ + 1 < tokens_.size() ? tokens_[at_++] : tokens_[at_]; }
  int line() const { return current().line; }

  bool is(Token::Kind kind) const { return current().kind == kind; }
  bool is_name(const char* name) const { return is(Token::Kind::kName) && current().text == name; }
  bool is_sign(const char* sign) const { return is(Token::Kind::kOperator) && current().text == sign; }
  bool skip_name(const char* name) { return is_name(name) && (next(), true); }
  bool skip_sign(const char* sign) { return is_sign(sign) && (next(), true); }

  Token expect(Token::Kind kind, const char* what) {
    if (!is(kind)) fail(concat("expected ", what, ", found ", description()));
    return next();
  }
  std::string expect_name() { return expect(Token::Kind::kName, "a name").text; }
  void expect_sign(const char* sign) {
    if (!skip_sign(sign)) fail(concat("expected '", sign, "', found ", description()));
  }

  std::string description() const {
    switch (current().kind) {
      case Token::Kind::kEnd:
        return "the end of the template";
      case Token::Kind::kTagEnd:
        return "the end of the tag";
      case Token::Kind::kPrintEnd:
        return "the end of the print statement";
      default:
        return in_quotes(current().text);
    }
  }
  [[noreturn]] void fail(const std::string& message) const { throw SyntaxFailure(message, line()); }

 private:
  std::vector<Token> tokens_;
  size_t at_ = 0;
};

}  // namespace loraxs::jinja
