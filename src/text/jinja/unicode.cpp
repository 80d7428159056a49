#include "text/jinja/unicode.h"

#include <unicode/locid.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>

#include <algorithm>

namespace loraxs::jinja {
namespace {

/// A change of ICU's on the whole text, so that ß becomes SS and a final Σ becomes ς.
template <typename Change>
std::string changed(std::string_view text, Change change) {
  icu::UnicodeString unicode =
      icu::UnicodeString::fromUTF8(icu::StringPiece(text.data(), static_cast<int>(text.size())));
  change(unicode);
  std::string result;
  unicode.toUTF8String(result);
  return result;
}

bool is_cased(char32_t c) {
  return u_isUUppercase(static_cast<UChar32>(c)) || u_isULowercase(static_cast<UChar32>(c)) ||
         u_istitle(static_cast<UChar32>(c));
}

std::string titlecase(char32_t c) {  // the full mapping: ŉ becomes ʼN
  std::string one;
  append_utf8(one, c);
  return changed(one, [](icu::UnicodeString& u) {
    u.toTitle(nullptr, icu::Locale::getRoot(), U_TITLECASE_NO_BREAK_ADJUSTMENT | U_TITLECASE_NO_LOWERCASE);
  });
}

/// One code point in lower case where it stands: Σ is ς at the end of a word.
std::string lower_at(const std::u32string& text, size_t at) {
  const bool final_sigma =
      text[at] == U'Σ' && at > 0 && is_cased(text[at - 1]) && (at + 1 == text.size() || !is_cased(text[at + 1]));
  return final_sigma ? "ς" : lower(utf8(std::u32string_view(text).substr(at, 1)));
}

}  // namespace

std::u32string code_points(std::string_view text) {
  const std::string valid = valid_utf8(text);
  std::u32string result;
  result.reserve(valid.size());
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

bool is_space(char32_t c) {
  return (c >= 9 && c <= 13) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool is_printable(char32_t c) {
  if (c == ' ') return true;
  const uint32_t category = U_GET_GC_MASK(static_cast<UChar32>(c));
  return (category & (U_GC_C_MASK | U_GC_Z_MASK)) == 0;
}

std::string strip(std::string_view text, Side side, const std::string* chars) {
  const std::u32string all = code_points(text);
  const std::u32string set = chars == nullptr ? std::u32string() : code_points(*chars);
  const auto drop = [&](char32_t c) { return chars == nullptr ? is_space(c) : set.find(c) != std::u32string::npos; };
  size_t begin = 0, end = all.size();
  if (side != Side::kRight) {
    while (begin < end && drop(all[begin])) ++begin;
  }
  if (side != Side::kLeft) {
    while (end > begin && drop(all[end - 1])) --end;
  }
  return utf8(std::u32string_view(all).substr(begin, end - begin));
}

std::string upper(std::string_view text) {
  return changed(text, [](icu::UnicodeString& u) { u.toUpper(icu::Locale::getRoot()); });
}

std::string lower(std::string_view text) {
  return changed(text, [](icu::UnicodeString& u) { u.toLower(icu::Locale::getRoot()); });
}

std::string casefold(std::string_view text) {
  return changed(text, [](icu::UnicodeString& u) { u.foldCase(); });
}

std::string swapcase(std::string_view text) {
  std::string result;
  const std::u32string all = code_points(text);
  for (size_t i = 0; i < all.size(); ++i) {
    const char32_t c = all[i];
    std::string one;
    append_utf8(one, c);
    result += u_isUUppercase(static_cast<UChar32>(c))   ? lower_at(all, i)
              : u_isULowercase(static_cast<UChar32>(c)) ? upper(one)
                                                        : one;
  }
  return result;
}

std::string capitalize(std::string_view text) {
  const std::u32string all = code_points(text);
  if (all.empty()) return "";
  return titlecase(all[0]) + lower(utf8(std::u32string_view(all).substr(1)));
}

std::string title(std::string_view text) {
  std::string result;
  bool inside = false;
  const std::u32string all = code_points(text);
  for (size_t i = 0; i < all.size(); ++i) {
    result += inside ? lower_at(all, i) : titlecase(all[i]);
    inside = is_cased(all[i]);
  }
  return result;
}

bool all_cased(std::string_view text, bool upper) {
  bool any = false;
  for (const char32_t c : code_points(text)) {
    const auto u = static_cast<UChar32>(c);
    if (upper ? (u_isULowercase(u) || u_istitle(u)) : (u_isUUppercase(u) || u_istitle(u))) return false;
    any = any || (upper ? u_isUUppercase(u) : u_isULowercase(u));
  }
  return any;
}

bool is_title(std::string_view text) {
  bool any = false, inside = false;
  for (const char32_t c : code_points(text)) {
    const auto u = static_cast<UChar32>(c);
    const bool high = u_isUUppercase(u) || u_istitle(u);
    if (inside ? high : u_isULowercase(u)) return false;
    inside = is_cased(c);
    any = any || inside;
  }
  return any;
}

bool all_in(std::string_view text, CharacterSet set) {
  const std::u32string all = code_points(text);
  if (set == CharacterSet::kAscii || set == CharacterSet::kPrintable) {
    return std::all_of(all.begin(), all.end(),
                       [&](char32_t c) { return set == CharacterSet::kAscii ? c < 128 : is_printable(c); });
  }
  const auto holds = [](char32_t c, CharacterSet wanted) {
    const auto u = static_cast<UChar32>(c);
    const auto kind = u_getIntPropertyValue(u, UCHAR_NUMERIC_TYPE);
    switch (wanted) {
      case CharacterSet::kAlpha:
        return (U_GET_GC_MASK(u) & U_GC_L_MASK) != 0;
      case CharacterSet::kDecimal:
        return kind == U_NT_DECIMAL;
      case CharacterSet::kDigit:
        return kind == U_NT_DECIMAL || kind == U_NT_DIGIT;
      case CharacterSet::kNumeric:
        return kind != U_NT_NONE;
      case CharacterSet::kAlnum:
        return (U_GET_GC_MASK(u) & U_GC_L_MASK) != 0 || kind != U_NT_NONE;
      default:
        return is_space(c);
    }
  };
  return !all.empty() && std::all_of(all.begin(), all.end(), [&](char32_t c) { return holds(c, set); });
}

bool is_identifier(std::string_view text) {
  const std::u32string all = code_points(text);
  if (all.empty()) return false;
  for (size_t i = 0; i < all.size(); ++i) {
    const auto u = static_cast<UChar32>(all[i]);
    const bool start = u == '_' || u_hasBinaryProperty(u, UCHAR_XID_START);
    if (!(start || (i > 0 && u_hasBinaryProperty(u, UCHAR_XID_CONTINUE)))) return false;
  }
  return true;
}

}  // namespace loraxs::jinja
