#include "text/jinja/unicode.h"

#include <unicode/bytestream.h>
#include <unicode/casemap.h>
#include <unicode/uchar.h>

#include <algorithm>
#include <utility>

#include "text/jinja/text_builder.h"

namespace loraxs::jinja {
namespace {

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<signed char>(c) >= 0; });
}

/// Calls `visit` with every code point until it answers false; whether it never did.
template <typename Visit>
bool all_code_points(std::string_view text, Visit visit) {
  for (size_t at = 0; at < text.size();) {
    if (!visit(next_char(text, at))) return false;
  }
  return true;
}

char ascii_upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; }
char ascii_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

/// A change of ICU's on the whole text, so that ß becomes SS and a final Σ becomes ς.
template <typename Change>
std::string changed_by_icu(std::string_view text, Change change) {
  std::string result;
  icu::StringByteSink<std::string> sink(&result, static_cast<int32_t>(text.size()));
  UErrorCode code = U_ZERO_ERROR;
  change(icu::StringPiece(text.data(), static_cast<int32_t>(text.size())), sink, code);
  return result;
}

std::string upper_by_icu(std::string_view text) {
  return changed_by_icu(text, [](const auto& from, auto& to, UErrorCode& code) {
    icu::CaseMap::utf8ToUpper("", 0, from, to, nullptr, code);
  });
}

std::string lower_by_icu(std::string_view text) {
  return changed_by_icu(text, [](const auto& from, auto& to, UErrorCode& code) {
    icu::CaseMap::utf8ToLower("", 0, from, to, nullptr, code);
  });
}

std::string folded_by_icu(std::string_view text) {
  return changed_by_icu(
      text, [](const auto& from, auto& to, UErrorCode& code) { icu::CaseMap::utf8Fold(0, from, to, nullptr, code); });
}

std::string title_by_icu(std::string_view one) {  // the full mapping: ŉ becomes ʼN
  return changed_by_icu(one, [](const auto& from, auto& to, UErrorCode& code) {
    icu::CaseMap::utf8ToTitle("", U_TITLECASE_WHOLE_STRING | U_TITLECASE_NO_LOWERCASE, nullptr, from, to, nullptr,
                              code);
  });
}

/// A whole text through `of_char` where it is ASCII, else through `by_icu`.
template <char (*of_char)(char), std::string (*by_icu)(std::string_view)>
Text changed(const Text& text, Budget& budget) {
  const std::string_view view = *text;
  budget.read(view.size());
  const bool ascii = is_ascii(view);
  if (ascii && std::all_of(view.begin(), view.end(), [](char c) { return of_char(c) == c; })) return text;
  budget.text(static_cast<int64_t>(view.size()));
  if (ascii) {
    std::string result(view);
    std::transform(result.begin(), result.end(), result.begin(), of_char);
    return result;
  }
  budget.walk(view.size());
  std::string result = by_icu(view);  // at most three times as long
  budget.text(static_cast<int64_t>(result.size()));
  return result;
}

bool is_cased(char32_t c) {
  const auto u = static_cast<UChar32>(c);
  return u_isUUppercase(u) || u_isULowercase(u) || u_istitle(u);
}

/// Changes code points one by one, each knowing its neighbours.
class CaseChanger {
 public:
  CaseChanger(std::string_view text, Budget& budget) : text_(text), budget_(budget), out_(budget) {
    budget.walk(text.size());
  }

  bool done() const { return at_ == text_.size(); }
  char32_t current() const {
    size_t at = at_;
    return next_char(text_, at);
  }
  void keep() { put(std::string(piece())); }
  void to_upper() { put(ascii() ? std::string(1, ascii_upper(text_[at_])) : through(upper_by_icu)); }
  void to_title() { put(ascii() ? std::string(1, ascii_upper(text_[at_])) : through(title_by_icu)); }
  /// Σ is ς at the end of a word.
  void to_lower() {
    if (ascii()) return put(std::string(1, ascii_lower(text_[at_])));
    size_t next = at_;
    const bool sigma = next_char(text_, next) == U'Σ';
    put(sigma && after_cased_ && (next == text_.size() || !is_cased(next_char(text_, next))) ? "ς"
                                                                                             : through(lower_by_icu));
  }
  std::string take() { return out_.take(); }

 private:
  std::string_view piece() const { return text_.substr(at_, char_bytes(text_[at_])); }
  bool ascii() const { return static_cast<signed char>(text_[at_]) >= 0; }
  std::string through(std::string (*change)(std::string_view)) {
    budget_.step(4);  // what a call of ICU takes
    return change(piece());
  }
  void put(const std::string& changed) {
    after_cased_ = is_cased(current());
    out_.append(changed);
    at_ += char_bytes(text_[at_]);
  }

  std::string_view text_;
  Budget& budget_;
  TextBuilder out_;
  size_t at_ = 0;
  bool after_cased_ = false;
};

/// The code points that strip() takes away.
class CharSet {
 public:
  CharSet(const std::string* chars, Budget& budget) : any_space_(chars == nullptr) {
    if (chars == nullptr) return;
    budget.walk(4 * chars->size());  // sorted
    budget.text(static_cast<int64_t>(4 * chars->size()));
    sorted_ = code_points(*chars);
    std::sort(sorted_.begin(), sorted_.end());
  }
  bool has(char32_t c) const {
    return any_space_ ? is_space(c) : std::binary_search(sorted_.begin(), sorted_.end(), c);
  }

 private:
  bool any_space_;
  std::u32string sorted_;
};

}  // namespace

Text valid_text(const std::string& text) {
  const std::string_view all = text;
  const auto ascii = [](char c) { return static_cast<signed char>(c) >= 0; };
  std::string result;
  result.reserve(all.size());
  for (size_t at = 0; at < all.size();) {  // runs of ASCII are copied as they stand: most texts are little else
    const auto rest = all.substr(at);
    const size_t plain = std::find_if_not(rest.begin(), rest.end(), ascii) - rest.begin();
    const size_t end = std::find_if(rest.begin() + static_cast<long>(plain), rest.end(), ascii) - rest.begin();
    result.append(rest.substr(0, plain));
    if (end > plain) result.append(valid_utf8(rest.substr(plain, end - plain)));
    at += end;
  }
  return result;
}

std::u32string code_points(std::string_view text) {
  const std::string valid = valid_utf8(text);
  std::u32string result;
  result.reserve(length(valid));
  for (size_t at = 0; at < valid.size();) result += next_char(valid, at);
  return result;
}

std::string utf8(std::u32string_view text) {
  std::string result;
  result.reserve(text.size());
  for (const char32_t c : text) append_utf8(result, c);
  return result;
}

int64_t length(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; });
}

size_t byte_offset(std::string_view text, int64_t index) {
  size_t at = 0;
  for (; index > 0 && at < text.size(); --index) at += char_bytes(text[at]);
  return at;
}

bool is_space(char32_t c) {
  return (c >= 9 && c <= 13) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool is_printable(char32_t c) {
  if (c == ' ') return true;
  const uint32_t category = U_GET_GC_MASK(static_cast<UChar32>(c));
  return (category & (U_GC_C_MASK | U_GC_Z_MASK)) == 0;
}

bool is_alnum(char32_t c) {
  const auto u = static_cast<UChar32>(c);
  return (U_GET_GC_MASK(u) & U_GC_L_MASK) != 0 || u_getIntPropertyValue(u, UCHAR_NUMERIC_TYPE) != U_NT_NONE;
}

Text strip(const Text& text, Side side, const std::string* chars, Budget& budget) {
  const CharSet set(chars, budget);
  const std::string_view all = *text;
  size_t begin = 0, end = all.size();
  if (side != Side::kRight) {
    for (size_t next = begin; begin < end && set.has(next_char(all, next)); begin = next) {
    }
  }
  if (side != Side::kLeft) {
    while (end > begin) {
      size_t last = end - 1;
      while ((static_cast<uint8_t>(all[last]) & 0xC0) == 0x80) --last;
      size_t next = last;
      if (!set.has(next_char(all, next))) break;
      end = last;
    }
  }
  budget.walk(all.size() - (end - begin));
  if (end - begin == all.size()) return text;
  budget.text(static_cast<int64_t>(end - begin));
  return std::string(all.substr(begin, end - begin));
}

Text upper(const Text& text, Budget& budget) { return changed<ascii_upper, upper_by_icu>(text, budget); }
Text lower(const Text& text, Budget& budget) { return changed<ascii_lower, lower_by_icu>(text, budget); }
Text casefold(const Text& text, Budget& budget) { return changed<ascii_lower, folded_by_icu>(text, budget); }

Text swapcase(const Text& text, Budget& budget) {
  CaseChanger out(*text, budget);
  while (!out.done()) {
    const auto c = static_cast<UChar32>(out.current());
    if (u_isUUppercase(c)) {
      out.to_lower();
    } else if (u_isULowercase(c)) {
      out.to_upper();
    } else {
      out.keep();
    }
  }
  return out.take();
}

Text capitalize(const Text& text, Budget& budget) {
  if (text->empty()) return text;
  const size_t first = char_bytes(text->front());
  budget.text(static_cast<int64_t>(text->size()));
  const Text rest = lower(text->substr(first), budget);
  CaseChanger out(std::string_view(*text).substr(0, first), budget);
  out.to_title();
  budget.text(static_cast<int64_t>(first + rest->size()));
  return out.take() + *rest;
}

Text title(const Text& text, Budget& budget) {
  CaseChanger out(*text, budget);
  for (bool inside = false; !out.done();) {
    const char32_t c = out.current();
    if (inside) {
      out.to_lower();
    } else {
      out.to_title();
    }
    inside = is_cased(c);
  }
  return out.take();
}

bool all_cased(std::string_view text, bool upper) {
  bool any = false;
  return all_code_points(text,
                         [&](char32_t c) {
                           const auto u = static_cast<UChar32>(c);
                           if (u_istitle(u) || (upper ? u_isULowercase(u) : u_isUUppercase(u))) return false;
                           any = any || (upper ? u_isUUppercase(u) : u_isULowercase(u));
                           return true;
                         }) &&
         any;
}

bool is_title(std::string_view text) {
  bool any = false, inside = false;
  return all_code_points(text,
                         [&](char32_t c) {
                           const auto u = static_cast<UChar32>(c);
                           const bool high = u_isUUppercase(u) || u_istitle(u);
                           if (inside ? high : u_isULowercase(u)) return false;
                           inside = is_cased(c);
                           any = any || inside;
                           return true;
                         }) &&
         any;
}

bool all_in(std::string_view text, CharacterSet set) {
  const auto holds = [&](char32_t c) {
    const auto u = static_cast<UChar32>(c);
    const auto kind = u_getIntPropertyValue(u, UCHAR_NUMERIC_TYPE);
    switch (set) {
      case CharacterSet::kAscii:
        return c < 128;
      case CharacterSet::kPrintable:
        return is_printable(c);
      case CharacterSet::kAlpha:
        return (U_GET_GC_MASK(u) & U_GC_L_MASK) != 0;
      case CharacterSet::kDecimal:
        return kind == U_NT_DECIMAL;
      case CharacterSet::kDigit:
        return kind == U_NT_DECIMAL || kind == U_NT_DIGIT;
      case CharacterSet::kNumeric:
        return kind != U_NT_NONE;
      case CharacterSet::kAlnum:
        return is_alnum(c);
      default:
        return is_space(c);
    }
  };
  const bool empty_counts = set == CharacterSet::kAscii || set == CharacterSet::kPrintable;
  return (empty_counts || !text.empty()) && all_code_points(text, holds);
}

bool is_identifier(std::string_view text) {
  bool first = true;
  return !text.empty() && all_code_points(text, [&](char32_t c) {
    const auto u = static_cast<UChar32>(c);
    const bool starts = c == '_' || u_hasBinaryProperty(u, UCHAR_XID_START);
    const bool follows = !std::exchange(first, false);
    return starts || (follows && u_hasBinaryProperty(u, UCHAR_XID_CONTINUE));
  });
}

}  // namespace loraxs::jinja
