#include "text/jinja/parser.h"

#include <array>

#include "text/jinja/expression_parser.h"
#include "text/jinja/macro.h"

namespace loraxs::jinja {
namespace {

using Kind = Token::Kind;
constexpr int kMaxBlocks = 100;  // blocks inside one another

class Parser {
 public:
  explicit Parser(std::string_view source) : tokens_(tokenize(source)), expressions_(tokens_) {}

  Syntax run() try {
    Block statements = block({});
    if (!expressions_.unknown.empty()) throw expressions_.unknown.front();
    return {std::move(statements), marks_generation_};
  } catch (const SyntaxFailure&) {
    throw;
  } catch (const Failure& failure) {
    throw SyntaxFailure(failure.what(), tokens_.line(), failure.kind);
  }

 private:
  using Ends = std::vector<const char*>;

  bool at_end(const Ends& ends) const {
    return std::any_of(ends.begin(), ends.end(), [&](const char* end) { return tokens_.is_name(end); });
  }

  /// Statements up to a tag named in `ends`, whose name is then the current token.
  Block block(const Ends& ends) {
    if (++nested_ > kMaxBlocks)
      throw Failure(FailureKind::kLimit, concat("expected at most ", kMaxBlocks, " nested blocks"));
    Block statements;
    while (!tokens_.is(Kind::kEnd)) {
      const Token token = tokens_.next();
      expressions_.begin_tag();
      if (token.kind == Kind::kText) {
        statements.push_back(std::make_unique<Printed>(token.line, token.text));
      } else if (token.kind == Kind::kPrintBegin) {
        statements.push_back(std::make_unique<Print>(token.line, expressions_.tuple()));
        tokens_.expect(Kind::kPrintEnd, "the end of the print statement");
      } else {
        if (at_end(ends)) {
          --nested_;
          return statements;
        }
        statements.push_back(statement());
        tokens_.expect(Kind::kTagEnd, "the end of the tag");
      }
    }
    if (!ends.empty()) tokens_.fail(concat("expected {% ", ends.back(), " %}, found the end of the template"));
    --nested_;
    return statements;
  }

  /// The rest of an opening tag, then its block; the end's name is the current token.
  Block body(const Ends& ends) {
    tokens_.skip_sign(":");
    tokens_.expect(Kind::kTagEnd, "the end of the tag");
    return block(ends);
  }

  Block body_and_end(const char* end) {
    Block statements = body({end});
    tokens_.next();
    return statements;
  }

  std::unique_ptr<Statement> statement() {
    const Token name = tokens_.expect(Kind::kName, "the name of a tag");
    const int line = name.line;
    if (name.text == "set") return set(line);
    if (name.text == "if") return if_block(line);
    if (name.text == "for") return for_block(line);
    if (name.text == "macro") return macro(line);
    if (name.text == "call") return call_block(line);
    if (name.text == "with") return with(line);
    if (name.text == "print") return print(line);
    if (name.text == "filter") {
      auto filter = expressions_.filters(nullptr, /*inline_start=*/true);
      return std::make_unique<Captured>(line, std::nullopt, std::move(filter), body_and_end("endfilter"));
    }
    if (name.text == "generation") {
      marks_generation_ = true;
      const int loops = std::exchange(loops_, 0);
      Block statements = body_and_end("endgeneration");
      loops_ = loops;
      return std::make_unique<Generation>(line, std::move(statements));
    }
    if (name.text == "break" || name.text == "continue") {
      if (loops_ == 0) throw SyntaxFailure(concat("'", name.text, "' outside of a loop"), line);
      return std::make_unique<Jump>(line, name.text == "break" ? Flow::kBreak : Flow::kContinue);
    }
    for (const char* other : {"include", "import", "from", "extends", "block", "autoescape"}) {
      if (name.text == other) {
        throw Failure(FailureKind::kUnsupported, concat("{% ", other, " %}: a chat template is one text of its own"));
      }
    }
    throw SyntaxFailure(concat("Encountered unknown tag ", in_quotes(name.text), "."), line);
  }

  std::unique_ptr<Statement> set(int line) {
    Target to = target(/*with_namespace=*/true, nullptr);
    if (tokens_.skip_sign("=")) return std::make_unique<Set>(line, std::move(to), expressions_.tuple());
    auto filter = expressions_.filters(nullptr, /*inline_start=*/false);
    return std::make_unique<Captured>(line, std::move(to), std::move(filter), body_and_end("endset"));
  }

  std::unique_ptr<Statement> if_block(int line) {
    std::vector<If::Branch> branches;
    const auto known_before = static_cast<long>(expressions_.unknown.size());
    Node condition = expressions_.tuple(/*conditional=*/false);
    while (true) {
      Block statements = body({"elif", "else", "endif"});
      branches.push_back({std::move(condition), std::move(statements)});
      const std::string end = tokens_.next().text;
      if (end == "endif") break;
      if (end == "else") {
        branches.push_back({nullptr, body_and_end("endif")});
        break;
      }
      condition = expressions_.tuple(/*conditional=*/false);
    }
    expressions_.unknown.erase(expressions_.unknown.begin() + known_before, expressions_.unknown.end());
    return std::make_unique<If>(line, std::move(branches));
  }

  std::unique_ptr<Statement> for_block(int line) {
    For::Parts parts;
    parts.target = target(/*with_namespace=*/false, "in");
    if (!tokens_.skip_name("in")) tokens_.fail(concat("expected 'in', found ", tokens_.description()));
    parts.iterable = expressions_.tuple(/*conditional=*/false, "recursive");
    if (tokens_.skip_name("if")) parts.condition = expressions_.expression();
    parts.recursive = tokens_.skip_name("recursive");
    ++loops_;
    parts.body = body({"endfor", "else"});
    --loops_;
    if (tokens_.next().text == "else") parts.otherwise = body_and_end("endfor");
    return std::make_unique<For>(line, std::move(parts));
  }

  /// (a, b=1) and the body; notes which of the special names the body uses.
  void signature_and_body(MacroParts& parts, bool signature, const char* end,
                          const std::function<void()>& before_body) {
    if (signature) {
      tokens_.expect_sign("(");
      while (!tokens_.is_sign(")")) {
        if (!parts.parameters.empty()) tokens_.expect_sign(",");
        std::string name = tokens_.expect_name();
        Node fallback = tokens_.skip_sign("=") ? expressions_.expression() : nullptr;
        if (!fallback && !parts.parameters.empty() && parts.parameters.back().second) {
          tokens_.fail("non-default argument follows default argument");
        }
        parts.parameters.emplace_back(std::move(name), std::move(fallback));
      }
      tokens_.expect_sign(")");
    }
    before_body();
    const bool caller = std::exchange(expressions_.named_caller, false);
    const bool varargs = std::exchange(expressions_.named_varargs, false);
    const bool kwargs = std::exchange(expressions_.named_kwargs, false);
    const int loops = std::exchange(loops_, 0);
    parts.body = body_and_end(end);
    loops_ = loops;
    parts.uses_caller = expressions_.named_caller;
    parts.uses_varargs = expressions_.named_varargs;
    parts.uses_kwargs = expressions_.named_kwargs;
    expressions_.named_caller |= caller;
    expressions_.named_varargs |= varargs;
    expressions_.named_kwargs |= kwargs;
  }

  std::unique_ptr<Statement> macro(int line) {
    MacroParts parts;
    parts.name = tokens_.expect_name();
    signature_and_body(parts, /*signature=*/true, "endmacro", [] {});
    return std::make_unique<Macro>(line, std::move(parts));
  }

  std::unique_ptr<Statement> call_block(int line) {
    MacroParts parts{.name = "caller"};
    std::unique_ptr<Call> call;
    signature_and_body(parts, tokens_.is_sign("("), "endcall", [&] {
      Node node = expressions_.expression();
      if (dynamic_cast<Call*>(node.get()) == nullptr) tokens_.fail("expected call");
      call.reset(static_cast<Call*>(node.release()));
    });
    return std::make_unique<CallBlock>(line, std::move(parts), std::move(call));
  }

  std::unique_ptr<Statement> with(int line) {
    std::vector<std::pair<Target, Node>> values;
    while (!tokens_.is(Kind::kTagEnd)) {
      if (!values.empty()) tokens_.expect_sign(",");
      Target to = target(/*with_namespace=*/false, nullptr);
      tokens_.expect_sign("=");
      values.emplace_back(std::move(to), expressions_.expression());
    }
    return std::make_unique<With>(line, std::move(values), body_and_end("endwith"));
  }

  std::unique_ptr<Statement> print(int line) {
    std::vector<Node> parts;
    while (!tokens_.is(Kind::kTagEnd)) {
      if (!parts.empty()) tokens_.expect_sign(",");
      parts.push_back(expressions_.expression());
    }
    return std::make_unique<Print>(line, std::make_unique<Concatenation>(line, std::move(parts)));
  }

  /// a, (b, c), space.name
  Target target(bool with_namespace, const char* end) {
    Target whole{.tuple = true, .line = tokens_.line()};
    bool comma = false;
    while (true) {
      if (!whole.parts.empty()) {
        comma = tokens_.skip_sign(",");
        if (!comma) break;
      }
      const bool ends = tokens_.is_sign("=") || tokens_.is_sign(")") || tokens_.is(Kind::kTagEnd) ||
                        (end != nullptr && tokens_.is_name(end));
      if (ends) break;
      whole.parts.push_back(simple_target(with_namespace));
      comma = false;
    }
    if (whole.parts.empty()) tokens_.fail(concat("expected a name to assign to, found ", tokens_.description()));
    if (whole.parts.size() == 1 && !comma) return std::move(whole.parts[0]);
    return whole;
  }

  Target simple_target(bool with_namespace) {
    const int line = tokens_.line();
    if (tokens_.skip_sign("(")) {
      if (++nested_ > kMaxBlocks)
        throw Failure(FailureKind::kLimit, concat("expected at most ", kMaxBlocks, " nested brackets"));
      Target inner = target(with_namespace, nullptr);
      --nested_;
      tokens_.expect_sign(")");
      return inner;
    }
    if (!tokens_.is(Kind::kName)) tokens_.fail(concat("can't assign to ", tokens_.description()));
    Target single{.name = tokens_.next().text, .line = line};
    for (const char* constant : {"true", "false", "none", "True", "False", "None"}) {
      if (*single.name == constant) tokens_.fail("can't assign to 'const'");
    }
    if (with_namespace && tokens_.skip_sign(".")) single.attribute = tokens_.expect_name();
    return single;
  }

  TokenStream tokens_;
  ExpressionParser expressions_;
  int nested_ = 0;
  int loops_ = 0;
  bool marks_generation_ = false;
};

}  // namespace

Syntax parse(std::string_view source) { return Parser(source).run(); }

}  // namespace loraxs::jinja
