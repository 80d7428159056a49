#include "text/oniguruma.h"

#include <unicode/uchar.h>
#include <unicode/ustring.h>

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include "io/error.h"
#include "text/utf8.h"

namespace loraxs {
namespace {

// Outside of classes Oniguruma looks up characters below U+0100 in a table that counts ² ³ ¹ ¼ ½ ¾ as of words.
constexpr std::string_view kWordSet = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{B2}\x{B3}\x{B9}\x{BC}-\x{BE})";

/// {n}, {n,}, {,m} or {n,m}.
struct Interval {
  std::string low, high;
  bool exact = false;
  size_t end = 0;  // behind the "}"
};

std::optional<Interval> interval_at(std::string_view pattern, size_t at) {
  Interval interval;
  const auto digits = [&](std::string& out) {
    while (at < pattern.size() && pattern[at] >= '0' && pattern[at] <= '9') out += pattern[at++];
  };
  ++at;  // {
  digits(interval.low);
  interval.exact = at < pattern.size() && pattern[at] == '}';
  if (!interval.exact) {
    if (at >= pattern.size() || pattern[at] != ',') return std::nullopt;
    ++at;
    digits(interval.high);
  }
  if (at >= pattern.size() || pattern[at] != '}' || (interval.low.empty() && interval.high.empty()))
    return std::nullopt;
  interval.end = at + 1;
  return interval;
}

/// Letters that case folding makes of one character, or the other way round: ß and ss, ﬁ and fi.
bool folds_to_several(char32_t c) {
  UChar folded[8];
  UChar source[2];
  int32_t length = 0;
  UErrorCode status = U_ZERO_ERROR;
  u_strFromUTF32(source, 2, &length, reinterpret_cast<const UChar32*>(&c), 1, &status);
  const int32_t size = u_strFoldCase(folded, 8, source, length, U_FOLD_CASE_DEFAULT, &status);
  return U_SUCCESS(status) && u_countChar32(folded, size) > 1;
}

class Translation {
 public:
  Translation(const std::string& pattern, const std::string& where) : pattern_(pattern), where_(where) {}

  std::string run() {
    groups_.push_back({});
    while (at_ < pattern_.size()) step();
    close_options();
    return std::move(out_);
  }

 private:
  struct Group {
    size_t begin = 0;                         // in out_
    bool extended = false, caseless = false;  // (?x), (?i) as they were before it
    int options = 0;                          // groups that stand for options without a ")" of their own
  };

  [[noreturn]] void refuse(std::string_view construct, std::string_view instead = "") const {
    refuse_construct(where_, pattern_, construct, instead);
  }

  /// What has been written from `begin` on is one thing that a quantifier may follow.
  void atom(size_t begin) {
    atom_ = begin;
    quantified_ = false;
  }
  /// Nothing that a quantifier may follow.
  void no_atom() {
    atom_ = std::string::npos;
    quantified_ = false;
  }
  void write_atom(std::string_view text) {
    const size_t begin = out_.size();
    out_ += text;
    atom(begin);
  }

  void step() {
    const char c = pattern_[at_];
    if (extended_ && (c == '#' || c == ' ' || (c >= '\t' && c <= '\r'))) return skip_blank();
    if (c != '\\' && static_cast<unsigned char>(c) < 0x80) previous_ = check_fold(static_cast<unsigned char>(c));
    switch (c) {
      case '\\':
        return escape();
      case '[': {
        ++at_;
        const std::string set = OnigurumaClass::translate(pattern_, at_, where_);
        return write_atom(set);
      }
      case '(':
        return open();
      case ')':
        return close();
      case '*':
      case '+':
      case '?':
        return quantify(std::string(1, c), at_ + 1);
      case '{':
        if (const auto interval = interval_at(pattern_, at_)) return count(*interval);
        ++at_;
        return write_atom("\\{");
      case '^':
      case '$':
        ++at_;
        return write_atom(c == '^' ? "(?m:^)" : "(?m:$)");
      case '|':
        ++at_;
        out_ += c;
        no_atom();
        return;
      default:
        literal();
    }
  }

  /// Refuses what folds to several characters, and pairs of which one character is the fold, where case does not
  /// matter.
  char32_t check_fold(char32_t c) const {
    if (!caseless_) return 0;
    const auto lower = static_cast<char32_t>(u_foldCase(static_cast<UChar32>(c), U_FOLD_CASE_DEFAULT));
    constexpr std::array<std::string_view, 5> kPairs = {"ss", "st", "ff", "fi", "fl"};
    const bool pair =
        previous_ < 0x80 && lower < 0x80 &&
        std::ranges::find(kPairs, std::string{static_cast<char>(previous_), static_cast<char>(lower)}) != kPairs.end();
    if (pair || folds_to_several(c)) {
      std::string text = "(?i) with ";
      if (pair) append_utf8(text, previous_);
      append_utf8(text, c);
      refuse(text, "one character folds to several there");
    }
    return lower;
  }

  void literal() {
    size_t end = at_;
    const char32_t c = next_char(pattern_, end);
    if (c >= 0x80) previous_ = check_fold(c);
    write_atom(std::string_view(pattern_).substr(at_, end - at_));
    at_ = end;
  }

  void skip_blank() {
    if (pattern_[at_] == '#') {
      at_ = std::min(pattern_.find('\n', at_), pattern_.size());
    } else {
      ++at_;
    }
  }

  /// A quantifier, and the ? or + that makes it lazy or possessive.
  void quantify(std::string text, size_t end, bool takes_suffix = true) {
    if (quantified_) {  // of what has one already
      out_.insert(atom_, "(?:");
      out_ += ')';
    }
    if (takes_suffix && end < pattern_.size() && (pattern_[end] == '?' || pattern_[end] == '+'))
      text += pattern_[end++];
    out_ += text;
    quantified_ = atom_ != std::string::npos;
    at_ = end;
    previous_ = 0;
  }

  void count(const Interval& interval) {
    constexpr size_t kMostDigits = 5;
    const std::string text = pattern_.substr(at_, interval.end - at_);
    if (interval.low.size() > kMostDigits || interval.high.size() > kMostDigits)
      refuse(text, "counts to 99,999 are read");
    const bool reversed =
        !interval.high.empty() && !interval.low.empty() && std::stoi(interval.high) < std::stoi(interval.low);
    if (reversed) refuse(text, "the lower count first is what other engines read");
    const std::string low = interval.low.empty() ? "0" : interval.low;
    // {n}? is (?:{n})?, {n,m}+ is (?:{n,m})+; {n,m}? is lazy in both.
    const bool lazy = !interval.exact && interval.end < pattern_.size() && pattern_[interval.end] == '?';
    quantify(interval.exact ? "{" + low + "}" : "{" + low + "," + interval.high + "}", interval.end, lazy);
  }

  void open() {
    const std::string_view rest = std::string_view(pattern_).substr(at_);
    if (rest.starts_with("(*")) refuse("(*", "callouts are not supported");
    if (rest.starts_with("(?#")) {
      at_ = std::min(pattern_.find(')', at_), pattern_.size() - 1) + 1;
      return;
    }
    constexpr std::array<std::string_view, 8> kOpenings = {"(?:", "(?=", "(?!", "(?>", "(?<=", "(?<!", "(?(", "(?'"};
    size_t length = 1;
    for (const std::string_view opening : kOpenings) {
      if (rest.starts_with(opening)) length = opening == "(?(" ? 2 : opening.size();
    }
    if (length == 1 && rest.starts_with("(?<")) length = 3;
    if (length == 1 && rest.starts_with("(?")) return open_options(rest);
    groups_.push_back({out_.size(), extended_, caseless_});
    out_ += rest.substr(0, length);
    at_ += length;
    if (rest.starts_with("(?<") || rest.starts_with("(?'")) copy_name(length);
    if (length == 2) copy_condition();
    no_atom();
  }

  void copy_name(size_t length) {
    if (length != 3) return;  // look-behind
    const char end = pattern_[at_ - 1] == '<' ? '>' : '\'';
    const size_t last = std::min(pattern_.find(end, at_), pattern_.size() - 1);
    out_ += pattern_.substr(at_, last + 1 - at_);
    at_ = last + 1;
  }

  void copy_condition() {
    const size_t last = std::min(pattern_.find(')', at_), pattern_.size() - 1);
    out_ += pattern_.substr(at_, last + 1 - at_);
    at_ = last + 1;
  }

  /// (?imx-imx) and (?imx-imx:…). The first stands for a group up to where the group around it ends, alternatives
  /// included. m is PCRE2's s.
  void open_options(std::string_view rest) {
    size_t end = 2;
    std::string options;
    bool on = true;
    const bool extended = extended_, caseless = caseless_;
    for (; end < rest.size() && rest[end] != ')' && rest[end] != ':'; ++end) {
      const char c = rest[end];
      if (c != 'i' && c != 'm' && c != 'x' && c != '-') {
        refuse(rest.substr(0, std::min<size_t>(end + 1, 12)), "options are i, m and x");
      }
      if (c == '-') on = false;
      if (c == 'x') extended_ = on;
      if (c == 'i') caseless_ = on;
      options += c == 'm' ? 's' : c;
    }
    if (end == rest.size()) refuse(rest.substr(0, std::min<size_t>(end, 12)), "a group without an end");
    // Blanks are left out here; PCRE2 need not know of x.
    std::erase(options, 'x');
    if (options == "-") options.clear();
    const size_t begin = out_.size();
    out_ += "(?" + options + ":";
    at_ += end + 1;
    no_atom();
    if (rest[end] == ':') {
      groups_.push_back({begin, extended, caseless});
    } else {
      ++groups_.back().options;
    }
  }

  void close_options() {
    out_.append(static_cast<size_t>(groups_.back().options), ')');
    groups_.back().options = 0;
  }

  void close() {
    close_options();
    out_ += ')';
    ++at_;
    previous_ = 0;
    if (groups_.size() == 1) return;  // PCRE2 says that none was open
    const Group group = groups_.back();
    groups_.pop_back();
    extended_ = group.extended;
    caseless_ = group.caseless;
    atom(group.begin);
  }

  void escape() {
    previous_ = 0;
    if (at_ + 1 == pattern_.size()) refuse("\\", "an escape of nothing");
    const char letter = pattern_[++at_];
    const std::string word(kWordSet);
    if ((letter == 'p' || letter == 'P') && at_ + 1 < pattern_.size() && pattern_[at_ + 1] == '{') {
      ++at_;
      return write_atom(OnigurumaClass::property(pattern_, at_, letter == 'P', where_));
    }
    if (letter == 'w' || letter == 'W') {
      ++at_;
      return write_atom((letter == 'w' ? "[" : "[^") + word + "]");
    }
    if (const std::string set = OnigurumaClass::escape(letter); !set.empty()) {
      ++at_;
      return write_atom(set);
    }
    if (const std::string character = translate_character_escape(pattern_, at_, where_); !character.empty()) {
      return write_atom(character);
    }
    ++at_;
    switch (letter) {
      case 'b':
        return write_atom("(?:(?<=[" + word + "])(?![" + word + "])|(?<![" + word + "])(?=[" + word + "]))");
      case 'B':
        return write_atom("(?:(?<=[" + word + "])(?=[" + word + "])|(?<![" + word + "])(?![" + word + "]))");
      case 'N':
      case 'R':
      case 'A':
      case 'Z':
      case 'z':
      case 'G':
      case 'K':
        return write_atom(std::string{'\\', letter});
      case 'O':
        return write_atom("(?s:.)");
      case 'X':
        refuse("\\X", "only alone it is searched for in linear time");
      case 'y':
      case 'Y':
        refuse(std::string{'\\', letter}, "boundaries of text segments are not supported");
      case 'k':
      case 'g': {
        const char end = at_ < pattern_.size() && pattern_[at_] == '\'' ? '\'' : '>';
        const size_t last = std::min(pattern_.find(end, at_ + 1), pattern_.size() - 1);
        write_atom(std::string{'\\', letter} + pattern_.substr(at_, last + 1 - at_));
        at_ = last + 1;
        return;
      }
      default:
        break;
    }
    if (letter >= '0' && letter <= '9') return write_atom(std::string{'\\', letter});
    const bool is_letter = (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z');
    if (is_letter) return write_atom(std::string(1, letter));
    --at_;
    const size_t begin = at_;
    next_char(pattern_, at_);
    write_atom((static_cast<unsigned char>(letter) < 0x80 ? "\\" : "") + pattern_.substr(begin, at_ - begin));
  }

  const std::string& pattern_;
  const std::string& where_;
  size_t at_ = 0;
  std::string out_;
  std::vector<Group> groups_;
  bool extended_ = false, caseless_ = false;
  size_t atom_ = std::string::npos;  // where the last thing that a quantifier may follow begins in out_
  bool quantified_ = false;          // it has one
  char32_t previous_ = 0;            // the character before, folded, where case does not matter
};

}  // namespace

std::string translate_oniguruma(const std::string& pattern, const std::string& where) {
  if (!is_valid_utf8(pattern))
    throw Error(concat(where, ": expected a regular expression in UTF-8, found other bytes"));
  return Translation(pattern, where).run();
}

}  // namespace loraxs
