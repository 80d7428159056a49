#include "text/jinja/expression_parser.h"

#include <algorithm>
#include <array>

#include "text/jinja/builtin.h"

namespace loraxs::jinja {
namespace {

using Kind = Token::Kind;
constexpr int kMaxLinks = 500;  // operators in one tag; real templates have some tens
constexpr int kMaxNested = 60;  // brackets inside one another: ten calls of the parser each

}  // namespace

void ExpressionParser::link() {
  if (++links_ > kMaxLinks)
    throw Failure(FailureKind::kLimit, concat("expected at most ", kMaxLinks, " operators in one tag"));
}

void ExpressionParser::check_known(bool known, const char* kind, const std::string& name) {
  if (!known) unknown.emplace_back(concat("No ", kind, " named ", in_quotes(name), "."), tokens_.line());
}

Node ExpressionParser::expression(bool with_condition) {
  if (++nested_ > kMaxNested)
    throw Failure(FailureKind::kLimit, concat("expected at most ", kMaxNested, " nested brackets"));
  Node node = with_condition ? conditional() : either();
  --nested_;
  return node;
}

Node ExpressionParser::conditional() {
  int line = tokens_.line();
  const size_t known_before = unknown.size();
  Node yes = either();
  while (tokens_.skip_name("if")) {
    link();
    Node condition = either();
    Node no = tokens_.skip_name("else") ? expression() : nullptr;
    yes = std::make_unique<Conditional>(line, std::move(condition), std::move(yes), std::move(no));
    line = tokens_.line();
    unknown.erase(unknown.begin() + static_cast<long>(known_before), unknown.end());
  }
  return yes;
}

Node ExpressionParser::either() {
  Node left = both();
  while (tokens_.is_name("or")) {
    link();
    const int line = tokens_.next().line;
    Node right = both();
    left = std::make_unique<Binary>(line, "or", std::move(left), std::move(right));
  }
  return left;
}

Node ExpressionParser::both() {
  Node left = negation();
  while (tokens_.is_name("and")) {
    link();
    const int line = tokens_.next().line;
    Node right = negation();
    left = std::make_unique<Binary>(line, "and", std::move(left), std::move(right));
  }
  return left;
}

Node ExpressionParser::negation() {
  if (!tokens_.is_name("not")) return comparison();
  link();
  const int line = tokens_.next().line;
  return std::make_unique<Unary>(line, "not", negation());
}

Node ExpressionParser::comparison() {
  static constexpr std::array kSigns = {"==", "!=", "<=", ">=", "<", ">"};
  const int line = tokens_.line();
  Node first = sum();
  std::vector<std::pair<std::string, Node>> rest;
  while (true) {
    const auto sign = std::find_if(kSigns.begin(), kSigns.end(), [&](const char* s) { return tokens_.is_sign(s); });
    if (sign != kSigns.end()) {
      tokens_.next();
      rest.emplace_back(*sign, sum());
    } else if (tokens_.skip_name("in")) {
      rest.emplace_back("in", sum());
    } else if (tokens_.is_name("not") && tokens_.look().kind == Kind::kName && tokens_.look().text == "in") {
      tokens_.next();
      tokens_.next();
      rest.emplace_back("not in", sum());
    } else {
      break;
    }
    link();
  }
  if (rest.empty()) return first;
  return std::make_unique<Comparison>(line, std::move(first), std::move(rest));
}

Node ExpressionParser::sum() {
  Node left = concatenation();
  while (tokens_.is_sign("+") || tokens_.is_sign("-")) {
    link();
    const Token sign = tokens_.next();
    Node right = concatenation();
    left = std::make_unique<Binary>(sign.line, sign.text, std::move(left), std::move(right));
  }
  return left;
}

Node ExpressionParser::concatenation() {
  const int line = tokens_.line();
  std::vector<Node> parts;
  parts.push_back(product());
  while (tokens_.skip_sign("~")) {
    link();
    parts.push_back(product());
  }
  if (parts.size() == 1) return std::move(parts[0]);
  return std::make_unique<Concatenation>(line, std::move(parts));
}

Node ExpressionParser::product() {
  Node left = power();
  while (tokens_.is_sign("*") || tokens_.is_sign("/") || tokens_.is_sign("//") || tokens_.is_sign("%")) {
    link();
    const Token sign = tokens_.next();
    Node right = power();
    left = std::make_unique<Binary>(sign.line, sign.text, std::move(left), std::move(right));
  }
  return left;
}

Node ExpressionParser::power() {
  Node left = unary();
  while (tokens_.is_sign("**")) {
    link();
    const Token sign = tokens_.next();
    Node right = unary();
    left = std::make_unique<Binary>(sign.line, sign.text, std::move(left), std::move(right));
  }
  return left;
}

Node ExpressionParser::unary(bool with_filters) {
  Node node;
  if (tokens_.is_sign("-") || tokens_.is_sign("+")) {
    link();
    const Token sign = tokens_.next();
    node = std::make_unique<Unary>(sign.line, sign.text, unary(/*with_filters=*/false));
  } else {
    node = primary();
  }
  node = postfix(std::move(node));
  return with_filters ? filtered(std::move(node)) : std::move(node);
}

Node ExpressionParser::primary() {
  const Token token = tokens_.current();
  if (token.kind == Kind::kName) return name_or_constant();
  if (token.kind == Kind::kString) {
    std::string text;
    while (tokens_.is(Kind::kString)) text += tokens_.next().text;
    return std::make_unique<Literal>(token.line, text);
  }
  if (token.kind == Kind::kInteger || token.kind == Kind::kFloat) {
    tokens_.next();
    return std::make_unique<Literal>(token.line, token.kind == Kind::kFloat ? Value(token.real) : Value(token.integer));
  }
  if (tokens_.skip_sign("(")) {
    Node node;
    if (tokens_.is_sign(")")) {
      node = std::make_unique<Collection>(token.line, Items::Kind::kTuple, std::vector<Node>());
    } else {
      node = tuple();
    }
    tokens_.expect_sign(")");
    return node;
  }
  if (tokens_.skip_sign("[")) return collection(token.line);
  if (tokens_.skip_sign("{")) return dictionary(token.line);
  tokens_.fail(concat("unexpected ", tokens_.description()));
}

Node ExpressionParser::name_or_constant() {
  const Token token = tokens_.next();
  if (token.text == "true" || token.text == "True") return std::make_unique<Literal>(token.line, true);
  if (token.text == "false" || token.text == "False") return std::make_unique<Literal>(token.line, false);
  if (token.text == "none" || token.text == "None") return std::make_unique<Literal>(token.line, Value());
  named_caller |= token.text == "caller";
  named_varargs |= token.text == "varargs";
  named_kwargs |= token.text == "kwargs";
  return std::make_unique<Name>(token.line, token.text);
}

Node ExpressionParser::collection(int line) {
  std::vector<Node> parts;
  while (!tokens_.is_sign("]")) {
    if (!parts.empty()) tokens_.expect_sign(",");
    if (tokens_.is_sign("]")) break;
    parts.push_back(expression());
  }
  tokens_.expect_sign("]");
  return std::make_unique<Collection>(line, Items::Kind::kList, std::move(parts));
}

Node ExpressionParser::dictionary(int line) {
  std::vector<std::pair<Node, Node>> entries;
  while (!tokens_.is_sign("}")) {
    if (!entries.empty()) tokens_.expect_sign(",");
    if (tokens_.is_sign("}")) break;
    Node key = expression();
    tokens_.expect_sign(":");
    entries.emplace_back(std::move(key), expression());
  }
  tokens_.expect_sign("}");
  return std::make_unique<Dictionary>(line, std::move(entries));
}

bool ExpressionParser::ends_tuple(const char* end) const {
  return tokens_.is(Kind::kPrintEnd) || tokens_.is(Kind::kTagEnd) || tokens_.is_sign(")") ||
         (end != nullptr && tokens_.is_name(end));
}

Node ExpressionParser::tuple(bool with_condition, const char* end) {
  int line = tokens_.line();
  std::vector<Node> parts;
  bool is_tuple = false;
  while (true) {
    if (!parts.empty()) tokens_.expect_sign(",");
    if (ends_tuple(end)) break;
    parts.push_back(expression(with_condition));
    if (!tokens_.is_sign(",")) break;
    is_tuple = true;
    line = tokens_.line();
  }
  if (is_tuple) return std::make_unique<Collection>(line, Items::Kind::kTuple, std::move(parts));
  if (parts.empty()) tokens_.fail(concat("Expected an expression, got ", tokens_.description()));
  return std::move(parts[0]);
}

Node ExpressionParser::postfix(Node node) {
  while (true) {
    const int line = tokens_.line();
    if (tokens_.is_sign(".") || tokens_.is_sign("[")) {
      node = subscript(std::move(node));
    } else if (tokens_.is_sign("(")) {
      node = std::make_unique<Call>(line, std::move(node), call_arguments());
    } else {
      return node;
    }
    link();
  }
}

Node ExpressionParser::filtered(Node node) {
  while (true) {
    const int line = tokens_.line();
    if (tokens_.is_sign("|")) {
      node = filters(std::move(node), /*inline_start=*/false);
    } else if (tokens_.is_name("is")) {
      node = test(std::move(node));
    } else if (tokens_.is_sign("(")) {
      node = std::make_unique<Call>(line, std::move(node), call_arguments());
    } else {
      return node;
    }
    link();
  }
}

Node ExpressionParser::subscript(Node node) {
  const Token open = tokens_.next();
  if (open.text == ".") {
    const Token name = tokens_.next();
    if (name.kind == Kind::kName) return std::make_unique<Attribute>(open.line, std::move(node), name.text);
    if (name.kind != Kind::kInteger) tokens_.fail("expected name or number");
    return std::make_unique<Subscript>(open.line, std::move(node), std::make_unique<Literal>(name.line, name.integer));
  }
  Node parts[3];
  const auto bound = [&] { return tokens_.is_sign(":") || tokens_.is_sign("]") ? nullptr : expression(); };
  parts[0] = bound();
  if (!tokens_.is_sign(":")) {
    if (!parts[0]) tokens_.fail(concat("unexpected ", tokens_.description()));
    if (tokens_.is_sign(",")) throw Failure(FailureKind::kUnsupported, "expected one index in [], found several");
    tokens_.expect_sign("]");
    return std::make_unique<Subscript>(open.line, std::move(node), std::move(parts[0]));
  }
  tokens_.next();
  parts[1] = bound();
  if (tokens_.skip_sign(":")) parts[2] = bound();
  tokens_.expect_sign("]");
  return std::make_unique<Slice>(open.line, std::move(node), std::move(parts[0]), std::move(parts[1]),
                                 std::move(parts[2]));
}

CallArguments ExpressionParser::call_arguments() {
  tokens_.expect_sign("(");
  CallArguments arguments;
  const auto ensure = [&](bool holds) {
    if (!holds) tokens_.fail("invalid syntax for function call expression");
  };
  bool first = true;
  while (!tokens_.is_sign(")")) {
    if (!first) {
      tokens_.expect_sign(",");
      if (tokens_.is_sign(")")) break;
    }
    first = false;
    if (tokens_.skip_sign("*")) {
      ensure(!arguments.more && !arguments.more_named);
      arguments.more = expression();
    } else if (tokens_.skip_sign("**")) {
      ensure(!arguments.more_named);
      arguments.more_named = expression();
    } else if (tokens_.is(Kind::kName) && tokens_.look().kind == Kind::kOperator && tokens_.look().text == "=") {
      ensure(!arguments.more_named);
      const std::string name = tokens_.next().text;
      tokens_.next();
      arguments.named.emplace_back(name, expression());
    } else {
      ensure(!arguments.more && !arguments.more_named && arguments.named.empty());
      arguments.positional.push_back(expression());
    }
  }
  tokens_.expect_sign(")");
  return arguments;
}

std::unique_ptr<Application> ExpressionParser::filters(Node value, bool inline_start) {
  std::unique_ptr<Application> result;
  while (inline_start || tokens_.is_sign("|")) {
    link();
    if (!inline_start) tokens_.next();
    inline_start = false;
    const int line = tokens_.line();
    std::string name = tokens_.expect_name();
    while (tokens_.skip_sign(".")) name += "." + tokens_.expect_name();
    check_known(find_filter(name) != nullptr, "filter", name);
    CallArguments arguments = tokens_.is_sign("(") ? call_arguments() : CallArguments();
    if (result) value = std::move(result);
    result =
        std::make_unique<Application>(line, Application::Kind::kFilter, std::move(value), name, std::move(arguments));
  }
  return result;
}

Node ExpressionParser::test(Node node) {
  const int line = tokens_.next().line;
  const bool negated = tokens_.skip_name("not");
  std::string name = tokens_.expect_name();
  while (tokens_.skip_sign(".")) name += "." + tokens_.expect_name();
  check_known(find_test(name) != nullptr, "test", name);
  CallArguments arguments;
  const bool operand = tokens_.is(Kind::kName) || tokens_.is(Kind::kString) || tokens_.is(Kind::kInteger) ||
                       tokens_.is(Kind::kFloat) || tokens_.is_sign("[") || tokens_.is_sign("{");
  if (tokens_.is_sign("(")) {
    arguments = call_arguments();
  } else if (operand && !tokens_.is_name("else") && !tokens_.is_name("or") && !tokens_.is_name("and")) {
    if (tokens_.is_name("is")) tokens_.fail("You cannot chain multiple tests with is");
    arguments.positional.push_back(postfix(primary()));
  }
  node = std::make_unique<Application>(line, Application::Kind::kTest, std::move(node), name, std::move(arguments));
  return negated ? std::make_unique<Unary>(line, "not", std::move(node)) : std::move(node);
}

}  // namespace loraxs::jinja
