#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <array>
#include <vector>

#include "io/error.h"
#include "text/oniguruma.h"
#include "text/utf8.h"

namespace loraxs {
namespace {

/// A set of characters: what PCRE2 may write between brackets, and expressions of one character beside it.
struct CharacterSet {
  std::string items;
  std::vector<std::string> others;

  std::string expression(bool negated) const {
    if (others.empty() && items.empty()) return negated ? "(?s:.)" : "(?!)";
    if (others.empty()) return concat(negated ? "[^" : "[", items, "]");
    std::string either = items.empty() ? "" : "[" + items + "]";
    for (const std::string& other : others) either += (either.empty() ? "" : "|") + other;
    return negated ? "(?:(?!" + either + ")(?s:.))" : "(?:" + either + ")";
  }
};

struct NamedSet {
  std::string_view name;  // without blanks, hyphens and underscores, in lower case
  std::string_view items;
  bool negated = false;
};

constexpr std::string_view kWord = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc})";

// Names of Oniguruma that PCRE2 does not know, or knows otherwise: POSIX brackets by Unicode's tables, and the long
// names of general categories.
constexpr std::array kNamed = {
    NamedSet{"alnum", R"(\p{Alphabetic}\p{Nd})"},
    NamedSet{"alpha", R"(\p{Alphabetic})"},
    NamedSet{"ascii", R"(\x00-\x7F)"},
    NamedSet{"blank", R"(\p{Zs}\t)"},
    NamedSet{"cntrl", R"(\p{Cc})"},
    NamedSet{"digit", R"(\p{Nd})"},
    NamedSet{"graph", R"(\p{White_Space}\p{Cc}\p{Cn}\p{Cs})", true},
    NamedSet{"lower", R"(\p{Lowercase})"},
    NamedSet{"print", R"(\p{Zl}\p{Zp}\p{Cc}\p{Cn}\p{Cs})", true},
    NamedSet{"punct", R"(\p{P})"},
    NamedSet{"space", R"(\p{White_Space})"},
    NamedSet{"upper", R"(\p{Uppercase})"},
    NamedSet{"word", kWord},
    NamedSet{"xdigit", "0-9A-Fa-f"},
    NamedSet{"letter", R"(\p{L})"},
    NamedSet{"casedletter", R"(\p{Lu}\p{Ll}\p{Lt})"},
    NamedSet{"lc", R"(\p{Lu}\p{Ll}\p{Lt})"},
    NamedSet{"uppercaseletter", R"(\p{Lu})"},
    NamedSet{"lowercaseletter", R"(\p{Ll})"},
    NamedSet{"titlecaseletter", R"(\p{Lt})"},
    NamedSet{"modifierletter", R"(\p{Lm})"},
    NamedSet{"otherletter", R"(\p{Lo})"},
    NamedSet{"mark", R"(\p{M})"},
    NamedSet{"combiningmark", R"(\p{M})"},
    NamedSet{"nonspacingmark", R"(\p{Mn})"},
    NamedSet{"spacingmark", R"(\p{Mc})"},
    NamedSet{"enclosingmark", R"(\p{Me})"},
    NamedSet{"number", R"(\p{N})"},
    NamedSet{"decimalnumber", R"(\p{Nd})"},
    NamedSet{"letternumber", R"(\p{Nl})"},
    NamedSet{"othernumber", R"(\p{No})"},
    NamedSet{"punctuation", R"(\p{P})"},
    NamedSet{"connectorpunctuation", R"(\p{Pc})"},
    NamedSet{"dashpunctuation", R"(\p{Pd})"},
    NamedSet{"openpunctuation", R"(\p{Ps})"},
    NamedSet{"closepunctuation", R"(\p{Pe})"},
    NamedSet{"initialpunctuation", R"(\p{Pi})"},
    NamedSet{"finalpunctuation", R"(\p{Pf})"},
    NamedSet{"otherpunctuation", R"(\p{Po})"},
    NamedSet{"symbol", R"(\p{S})"},
    NamedSet{"mathsymbol", R"(\p{Sm})"},
    NamedSet{"currencysymbol", R"(\p{Sc})"},
    NamedSet{"modifiersymbol", R"(\p{Sk})"},
    NamedSet{"othersymbol", R"(\p{So})"},
    NamedSet{"separator", R"(\p{Z})"},
    NamedSet{"spaceseparator", R"(\p{Zs})"},
    NamedSet{"lineseparator", R"(\p{Zl})"},
    NamedSet{"paragraphseparator", R"(\p{Zp})"},
    NamedSet{"other", R"(\p{C})"},
    NamedSet{"control", R"(\p{Cc})"},
    NamedSet{"format", R"(\p{Cf})"},
    NamedSet{"surrogate", R"(\p{Cs})"},
    NamedSet{"privateuse", R"(\p{Co})"},
    NamedSet{"unassigned", R"(\p{Cn})"},
};

// [[:punct:]] holds symbols too, \p{Punct} does not.
constexpr NamedSet kPunctuationInBrackets = {"punct", R"(\p{P}\p{S})"};

const NamedSet* find_named(std::string_view name) {
  std::string plain;
  for (const char c : name) {
    if (c != ' ' && c != '-' && c != '_') plain += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  const auto* found = std::ranges::find(kNamed, plain, &NamedSet::name);
  return found == kNamed.end() ? nullptr : found;
}

bool compiles(const std::string& pattern) {
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), PCRE2_UTF | PCRE2_UCP,
                                   &error, &offset, nullptr);
  pcre2_code_free(code);
  return code != nullptr;
}

/// Adds the set of a name; `negated`: all other characters.
void add_named(CharacterSet& set, const NamedSet& named, bool negated) {
  const CharacterSet one{.items = std::string(named.items), .others = {}};
  if (negated == named.negated) {
    set.items += named.items;
  } else {
    set.others.push_back(one.expression(/*negated=*/true));
  }
}

void add_property(CharacterSet& set, std::string_view name, bool negated) {
  while (name.starts_with('^')) {
    negated = !negated;
    name.remove_prefix(1);
  }
  if (const NamedSet* named = find_named(name)) return add_named(set, *named, negated);
  // Scripts are meant as Script; PCRE2 takes Script_Extensions where nothing is said.
  const std::string script = concat("sc:", name);
  const bool is_script = name.find_first_of(":=") == std::string_view::npos && compiles("\\p{" + script + "}");
  set.items += concat(negated ? "\\P{" : "\\p{", is_script ? std::string_view(script) : name, "}");
}

/// NAME of \p{NAME}; `at` is at the "{".
std::string_view property_name(std::string_view pattern, size_t& at, const std::string& where) {
  const size_t end = pattern.find('}', at);
  if (end == std::string_view::npos) refuse_construct(where, pattern, "\\p{", "a name without an end");
  const std::string_view name = pattern.substr(at + 1, end - at - 1);
  at = end + 1;
  return name;
}

/// Adds \w, \h, …; false: the letter is no class.
bool add_escape(CharacterSet& set, char letter) {
  struct Escape {
    char letter;
    std::string_view name;
  };
  constexpr std::array kEscapes = {Escape{'w', "word"}, Escape{'s', "space"}, Escape{'d', "digit"},
                                   Escape{'h', "xdigit"}};
  for (const Escape& each : kEscapes) {
    const bool negated = letter == each.letter - 'a' + 'A';
    if (letter != each.letter && !negated) continue;
    if (letter == 'S' || letter == 'D') {
      set.items += letter == 'S' ? R"(\P{White_Space})" : R"(\P{Nd})";
    } else {
      add_named(set, *find_named(each.name), negated);
    }
    return true;
  }
  return false;
}

class ClassReader {
 public:
  ClassReader(std::string_view pattern, size_t& at, const std::string& where)
      : pattern_(pattern), at_(at), where_(where) {}

  /// Behind a "[" up to behind its "]".
  CharacterSet read(int depth, bool& negated) {
    constexpr int kDeepest = 20;
    if (depth > kDeepest)
      refuse_construct(where_, pattern_, "[", concat("at most ", kDeepest, " classes in each other"));
    negated = at_ < pattern_.size() && pattern_[at_] == '^';
    if (negated) ++at_;
    std::vector<CharacterSet> operands(1);
    for (bool first = true;; first = false) {
      if (at_ >= pattern_.size()) refuse_construct(where_, pattern_, "[", "a class without an end");
      const char c = pattern_[at_];
      if (c == ']' && !first) {
        ++at_;
        return intersection(operands);
      }
      if (c == '&' && pattern_.substr(at_, 2) == "&&") {
        at_ += 2;
        operands.emplace_back();
      } else if (c == '[') {
        bracket(operands.back(), depth);
      } else {
        element(operands.back());
      }
    }
  }

 private:
  static CharacterSet intersection(const std::vector<CharacterSet>& operands) {
    if (operands.size() == 1) return operands.front();
    std::string all = "(?:";
    for (size_t i = 0; i + 1 < operands.size(); ++i) all += "(?=" + operands[i].expression(false) + ")";
    CharacterSet set;
    set.others.push_back(all + operands.back().expression(false) + ")");
    return set;
  }

  void bracket(CharacterSet& set, int depth) {
    if (pattern_.substr(at_, 2) == "[:") {
      const size_t end = pattern_.find(":]", at_ + 2);
      std::string_view name = end == std::string_view::npos ? "" : pattern_.substr(at_ + 2, end - at_ - 2);
      const bool negated = name.starts_with('^');
      if (negated) name.remove_prefix(1);
      const NamedSet* named = find_named(name);
      if (named != nullptr && named->name.size() <= 6 && name == named->name) {
        at_ = end + 2;
        return add_named(set, name == "punct" ? kPunctuationInBrackets : *named, negated);
      }
    }
    ++at_;
    bool negated = false;
    CharacterSet inner = read(depth + 1, negated);
    if (negated || !inner.others.empty()) {
      set.others.push_back(inner.expression(negated));
    } else {
      set.items += inner.items;
    }
  }

  void element(CharacterSet& set) {
    if (pattern_[at_] == '\\' && at_ + 1 < pattern_.size()) {
      const char letter = pattern_[at_ + 1];
      if ((letter == 'p' || letter == 'P') && at_ + 2 < pattern_.size() && pattern_[at_ + 2] == '{') {
        at_ += 2;
        const std::string_view name = property_name(pattern_, at_, where_);
        return add_property(set, name, letter == 'P');
      }
      if (add_escape(set, letter)) {
        at_ += 2;
        return;
      }
    }
    set.items += character();
    if (at_ + 1 >= pattern_.size() || pattern_[at_] != '-' || pattern_[at_ + 1] == ']') return;
    ++at_;
    if (pattern_[at_] == '[' || pattern_.substr(at_, 2) == "&&") {
      set.items += "\\-";
      return;
    }
    const size_t before = at_;
    if (pattern_[at_] == '\\' && at_ + 1 < pattern_.size() &&
        std::string_view("wWsSdDhHpP").find(pattern_[at_ + 1]) != std::string_view::npos) {
      refuse_construct(where_, pattern_, concat("-", pattern_.substr(before, 2), " in a class"),
                       "a range ends in a character");
    }
    set.items += "-" + character();
  }

  /// One character as PCRE2 writes it in a class.
  std::string character() {
    if (pattern_[at_] != '\\') {
      const size_t begin = at_;
      next_char(pattern_, at_);
      const std::string text(pattern_.substr(begin, at_ - begin));
      return std::string_view("[]^-:").find(text) == std::string_view::npos || text.empty() ? text : "\\" + text;
    }
    if (++at_ == pattern_.size()) refuse_construct(where_, pattern_, "\\", "an escape of nothing");
    const char letter = pattern_[at_];
    if (letter == 'b') {
      ++at_;
      return "\\x{8}";
    }
    if (std::string escaped = translate_character_escape(pattern_, at_, where_); !escaped.empty()) return escaped;
    if (letter >= '0' && letter <= '7') {
      size_t end = at_;
      while (end < pattern_.size() && end < at_ + 3 && pattern_[end] >= '0' && pattern_[end] <= '7') ++end;
      const std::string digits(pattern_.substr(at_, end - at_));
      at_ = end;
      return "\\o{" + digits + "}";
    }
    const size_t begin = at_;
    next_char(pattern_, at_);
    const std::string text(pattern_.substr(begin, at_ - begin));
    return std::isalnum(static_cast<unsigned char>(letter)) != 0 || static_cast<unsigned char>(letter) >= 0x80
               ? text
               : "\\" + text;
  }

  std::string_view pattern_;
  size_t& at_;
  const std::string& where_;
};

}  // namespace

void refuse_construct(const std::string& where, std::string_view pattern, std::string_view construct,
                      std::string_view instead) {
  throw Error(concat(where, ": expected an expression that PCRE2 reads as Oniguruma does, found ", construct, " in \"",
                     shortened(pattern, 120), "\"", instead.empty() ? "" : "; ", instead));
}

std::string translate_character_escape(std::string_view pattern, size_t& at, const std::string& where) {
  const auto hex_digits = [&](size_t from, size_t most) {
    size_t end = from;
    while (end < pattern.size() && end < from + most && std::isxdigit(static_cast<unsigned char>(pattern[end])) != 0)
      ++end;
    return pattern.substr(from, end - from);
  };
  const char letter = pattern[at];
  const auto taken = [&](size_t bytes) {
    const std::string text = concat("\\", pattern.substr(at, bytes));
    at += bytes;
    return text;
  };
  if (letter == 'u') {
    const std::string digits(hex_digits(at + 1, 4));
    if (digits.size() != 4) refuse_construct(where, pattern, "\\u" + digits, "four hexadecimal digits follow it");
    at += 5;
    return "\\x{" + digits + "}";
  }
  if (letter == 'x' && at + 1 < pattern.size() && pattern[at + 1] == '{') {
    const std::string_view digits = hex_digits(at + 2, 8);
    const size_t end = at + 2 + digits.size();
    if (digits.empty() || end >= pattern.size() || pattern[end] != '}') {
      refuse_construct(where, pattern, "\\x{…}", "the number of one character stands there");
    }
    return taken(digits.size() + 3);
  }
  if (letter == 'x') {
    const std::string digits(hex_digits(at + 1, 2));
    if (!digits.empty() && std::stoi(digits, nullptr, 16) >= 0x80) {
      refuse_construct(where, pattern, "\\x" + digits, "bytes of UTF-8 are not read; write \\x{…}");
    }
    at += 1 + digits.size();
    return "\\x{" + (digits.empty() ? "0" : digits) + "}";
  }
  if (letter == 'C' || letter == 'M') {
    if (at + 1 < pattern.size() && pattern[at + 1] == '-') {
      refuse_construct(where, pattern, std::string{'\\', letter, '-'}, "write \\x{…}");
    }
    return "";
  }
  if (letter == 'v') {
    ++at;
    return "\\x{B}";
  }
  if (letter == 'c' || letter == 'o') {
    if (letter == 'c') return taken(2);
    if (at + 1 >= pattern.size() || pattern[at + 1] != '{') return "";
    return taken(std::min(pattern.find('}', at), pattern.size() - 1) + 1 - at);
  }
  constexpr std::string_view kSame = "tnrfae";
  return kSame.find(letter) == std::string_view::npos ? "" : taken(1);
}

std::string OnigurumaClass::translate(std::string_view pattern, size_t& at, const std::string& where) {
  bool negated = false;
  const CharacterSet set = ClassReader(pattern, at, where).read(0, negated);
  return set.expression(negated);
}

std::string OnigurumaClass::escape(char letter) {
  CharacterSet set;
  return add_escape(set, letter) ? set.expression(false) : "";
}

std::string OnigurumaClass::property(std::string_view pattern, size_t& at, bool negated, const std::string& where) {
  CharacterSet set;
  const std::string_view name = property_name(pattern, at, where);
  add_property(set, name, negated);
  return set.expression(false);
}

}  // namespace loraxs
