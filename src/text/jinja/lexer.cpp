#include "text/jinja/lexer.h"

#include <unicode/uchar.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <optional>

#include "io/error.h"
#include "text/jinja/failure.h"
#include "text/jinja/string_literal.h"
#include "text/jinja/unicode.h"

namespace loraxs::jinja {
namespace {

using Kind = Token::Kind;

/// Line ends become \n; one at the very end is dropped.
std::u32string normalized(std::string_view source) {
  const std::u32string all = code_points(source);
  std::u32string text;
  for (size_t i = 0; i < all.size(); ++i) {
    if (all[i] == '\r' && i + 1 < all.size() && all[i + 1] == '\n') continue;
    text += all[i] == '\r' ? U'\n' : all[i];
  }
  if (text.ends_with(U'\n')) text.pop_back();
  return text;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(normalized(source)) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) root();
    add(Kind::kEnd);
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void fail(const std::string& message) const { throw SyntaxFailure(message, line_); }

  bool starts(std::u32string_view text) const { return source_.compare(at_, text.size(), text) == 0; }

  void add(Kind kind, std::string text = "") {
    tokens_.push_back({.kind = kind, .text = std::move(text), .line = line_});
  }

  void advance(size_t count) {
    line_ += static_cast<int>(
        std::count(source_.begin() + static_cast<long>(at_), source_.begin() + static_cast<long>(at_ + count), U'\n'));
    at_ += count;
  }

  void skip_space() {
    while (at_ < source_.size() && is_space(source_[at_])) advance(1);
  }

  /// Text up to `end`, where a tag with this white space sign begins.
  void text_until(size_t end, char32_t sign, bool is_print) {
    std::u32string text = source_.substr(at_, end - at_);
    if (sign == '-') {
      while (!text.empty() && is_space(text.back())) text.pop_back();
    } else if (sign != '+' && !is_print) {
      const size_t line_begin = text.rfind(U'\n') + 1;  // npos + 1 = 0
      const bool blank =
          line_begin < text.size() && std::all_of(text.begin() + static_cast<long>(line_begin), text.end(), is_space);
      if (blank && (line_begin > 0 || line_starting_)) text.resize(line_begin);
    }
    if (!text.empty()) add(Kind::kText, utf8(text));
    advance(end - at_);
  }

  /// After the closing braces: "-" drops all white space, a plain end of a block one line end.
  void close(size_t braces, char32_t sign, bool block) {
    advance(braces);
    if (sign == '-') {
      skip_space();
    } else if (block && sign != '+' && at_ < source_.size() && source_[at_] == '\n') {
      advance(1);
    }
    line_starting_ = source_[at_ - 1] == '\n';
  }

  char32_t sign_at(size_t at) const {
    return at < source_.size() && (source_[at] == '-' || source_[at] == '+') ? source_[at] : 0;
  }

  void root() {
    size_t begin = at_;
    for (;; ++begin) {
      begin = source_.find(U'{', begin);
      if (begin == std::u32string::npos || begin + 1 >= source_.size()) {
        add(Kind::kText, utf8(std::u32string_view(source_).substr(at_)));
        at_ = source_.size();
        return;
      }
      const char32_t next = source_[begin + 1];
      if (next == '{' || next == '%' || next == '#') break;
    }
    const char32_t type = source_[begin + 1], sign = sign_at(begin + 2);
    text_until(begin, sign, type == '{');
    advance(sign != 0 ? 3 : 2);
    if (type == '#') {
      comment();
    } else if (type == '%' && raw_begins()) {
      raw();
    } else {
      add(type == '{' ? Kind::kPrintBegin : Kind::kTagBegin);
      expression(type == '{');
    }
  }

  void comment() {
    const size_t end = source_.find(U"#}", at_);
    if (end == std::u32string::npos) fail("Missing end of comment tag");
    const char32_t sign = end > at_ ? sign_at(end - 1) : 0;
    advance(end - at_);
    close(2, sign, /*block=*/true);
  }

  /// {% name %} at a position behind "{%" and sign: its last sign and one past "%}", if it is that.
  std::optional<std::pair<char32_t, size_t>> plain_tag(size_t at, std::u32string_view name) const {
    const auto space = [&] {
      while (at < source_.size() && is_space(source_[at])) ++at;
    };
    space();
    if (source_.compare(at, name.size(), name) != 0) return std::nullopt;
    at += name.size();
    space();
    const char32_t sign = sign_at(at);
    if (sign != 0) ++at;
    if (source_.compare(at, 2, U"%}") != 0) return std::nullopt;
    return std::pair(sign, at + 2);
  }

  bool raw_begins() const {
    const auto tag = plain_tag(at_, U"raw");
    return tag && tag->first != '+';
  }

  void raw() {
    const auto [begin_sign, text_begin] = *plain_tag(at_, U"raw");
    advance(text_begin - 2 - at_);
    close(2, begin_sign, /*block=*/false);
    for (size_t begin = source_.find(U"{%", at_); begin != std::u32string::npos;
         begin = source_.find(U"{%", begin + 1)) {
      const char32_t sign = sign_at(begin + 2);
      const auto tag = plain_tag(begin + (sign != 0 ? 3 : 2), U"endraw");
      if (!tag) continue;
      text_until(begin, sign, /*is_print=*/false);
      advance(tag->second - 2 - at_);
      close(2, tag->first, /*block=*/true);
      return;
    }
    fail("Missing end of raw directive");
  }

  void expression(bool print) {
    std::string open;  // brackets that wait for their end
    const std::u32string_view end = print ? U"}}" : U"%}";
    while (at_ < source_.size()) {
      const char32_t sign = sign_at(at_);
      const bool signed_end = sign == '-' || (sign == '+' && !print);
      if (open.empty() && (starts(end) || (signed_end && source_.compare(at_ + 1, 2, end) == 0))) {
        add(print ? Kind::kPrintEnd : Kind::kTagEnd);
        if (!starts(end)) advance(1);
        close(2, sign, /*block=*/!print);
        return;
      }
      if (is_space(source_[at_])) {
        skip_space();
      } else {
        token(open);
      }
    }
  }

  void token(std::string& open) {
    const char32_t c = source_[at_];
    if (number()) return;
    if (is_word(c)) {
      size_t end = at_;
      while (end < source_.size() && is_word(source_[end])) ++end;
      std::string name = utf8(std::u32string_view(source_).substr(at_, end - at_));
      if (!is_identifier(name)) fail("Invalid character in identifier");
      add(Kind::kName, std::move(name));
      at_ = end;
    } else if (c == '\'' || c == '"') {
      text_literal(c);
    } else {
      sign(open);
    }
  }

  static bool is_word(char32_t c) { return c == '_' || u_isalnum(static_cast<UChar32>(c)) || (c > 127 && is_alnum(c)); }

  void text_literal(char32_t quote) {
    size_t end = at_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) fail("unexpected char " + in_quotes(utf8({&quote, 1})));
    add(Kind::kString, unescape(std::u32string_view(source_).substr(at_ + 1, end - at_ - 1), line_));
    advance(end + 1 - at_);
  }

  void sign(std::string& open) {
    static const std::u32string_view two[] = {U"//", U"**", U"==", U"!=", U">=", U"<="};
    static constexpr std::u32string_view kOne = U"+-/*%~[](){}><=.:|,;";
    for (const auto text : two) {
      if (!starts(text)) continue;
      add(Kind::kOperator, utf8(text));
      at_ += 2;
      return;
    }
    const char32_t c = source_[at_];
    if (kOne.find(c) == std::u32string_view::npos) fail("unexpected char " + in_quotes(utf8({&c, 1})));
    const char plain = static_cast<char>(c);
    if (plain == '(' || plain == '[' || plain == '{') open += plain == '(' ? ')' : plain == '[' ? ']' : '}';
    if (plain == ')' || plain == ']' || plain == '}') {
      if (open.empty()) fail(concat("unexpected '", plain, "'"));
      if (open.back() != plain) fail(concat("unexpected '", plain, "', expected '", open.back(), "'"));
      open.pop_back();
    }
    add(Kind::kOperator, std::string(1, plain));
    ++at_;
  }

  /// Digits with single underscores between them, from `at`; one past the last, or `at` if there are none.
  size_t digits(size_t at, std::u32string_view allowed = U"0123456789") const {
    const auto is_digit = [&](size_t i) {
      return i < source_.size() && allowed.find(source_[i]) != std::u32string::npos;
    };
    if (!is_digit(at)) return at;
    while (is_digit(at) || (at < source_.size() && source_[at] == '_' && is_digit(at + 1))) ++at;
    return at;
  }

  bool number() {
    const size_t whole = digits(at_);
    if (whole == at_) return false;
    size_t end = whole;
    bool real = false;
    if (at_ == 0 || source_[at_ - 1] != '.') {
      if (end < source_.size() && source_[end] == '.' && digits(end + 1) > end + 1) {
        end = digits(end + 1);
        real = true;
      }
      if (end < source_.size() && (source_[end] == 'e' || source_[end] == 'E')) {
        const size_t exponent = end + (end + 1 < source_.size() && sign_at(end + 1) != 0 ? 2 : 1);
        if (digits(exponent) > exponent) {
          end = digits(exponent);
          real = true;
        }
      }
    }
    int base = 10;
    if (!real) end = whole_number(base);
    std::string text;
    for (size_t i = at_; i < end; ++i) {
      if (source_[i] != '_') text += static_cast<char>(source_[i]);
    }
    add(real ? Kind::kFloat : Kind::kInteger, text);
    if (real) {
      tokens_.back().real = std::strtod(text.c_str(), nullptr);
    } else {
      const char* first = text.c_str() + (base == 10 ? 0 : 2);
      if (std::from_chars(first, text.c_str() + text.size(), tokens_.back().integer, base).ec != std::errc()) {
        throw SyntaxFailure(concat("expected an integer of 64 bits, found ", in_quotes(text)), line_,
                            FailureKind::kUnsupported);
      }
    }
    at_ = end;
    return true;
  }

  /// End of 12, 0x1F, 0b1, 0o7; of 012 only the zero is taken, as in Python.
  size_t whole_number(int& base) const {
    if (source_[at_] != '0') return digits(at_);
    if (at_ + 2 < source_.size()) {
      const char32_t letter = source_[at_ + 1] | 0x20;
      const std::u32string_view allowed = letter == 'x'   ? U"0123456789abcdefABCDEF"
                                          : letter == 'o' ? U"01234567"
                                          : letter == 'b' ? U"01"
                                                          : U"";
      const size_t first = at_ + 2 + (source_[at_ + 2] == '_' ? 1 : 0);
      if (digits(first, allowed) > first) {
        base = letter == 'x' ? 16 : letter == 'o' ? 8 : 2;
        return digits(first, allowed);
      }
    }
    return digits(at_, U"0");
  }

  const std::u32string source_;
  size_t at_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source) { return Lexer(source).run(); }

}  // namespace loraxs::jinja
