#include "text/char_class.h"

#include <unicode/uchar.h>

namespace loraxs {
namespace {

uint32_t category(char32_t c) { return U_GET_GC_MASK(static_cast<UChar32>(c)); }

int age(char32_t c) {
  UVersionInfo version;
  u_charAge(static_cast<UChar32>(c), version);
  return version[0];
}

uint32_t category_of_unicode_8(char32_t c) {
  switch (c) {  // the characters whose category changed since in a way that matters here
    case 0x166D:
    case 0x111C9:
      return U_GC_PO_MASK;
    case 0x1734:
      return U_GC_MN_MASK;
    case 0x1885:
    case 0x1886:
      return U_GC_LO_MASK;
    case 0xA9BD:
      return U_GC_MC_MASK;
    default:
      constexpr int kUnicode8 = 8;
      return age(c) > kUnicode8 ? 0 : category(c);
  }
}

}  // namespace

bool is_space(char32_t c) {
  return c < 128 ? c == ' ' || (c >= '\t' && c <= '\r') : u_isUWhiteSpace(static_cast<UChar32>(c)) != 0;
}

bool is_numeric(char32_t c) {
  return c < 128 ? c >= '0' && c <= '9' : (category(c) & (U_GC_ND_MASK | U_GC_NL_MASK | U_GC_NO_MASK)) != 0;
}

bool is_mark(char32_t c) {
  constexpr int kUnicode9 = 9;
  return c >= 128 && age(c) <= kUnicode9 && (category(c) & U_GC_M_MASK) != 0 && c != 0x111C9;
}

bool is_word_char(char32_t c) {
  const auto point = static_cast<UChar32>(c);
  return u_hasBinaryProperty(point, UCHAR_ALPHABETIC) || u_hasBinaryProperty(point, UCHAR_JOIN_CONTROL) ||
         (category(c) & (U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK)) != 0;
}

bool is_punctuation(char32_t c) {
  if (c < 128) return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) || (c >= 123 && c <= 126);
  return (category_of_unicode_8(c) & U_GC_P_MASK) != 0;
}

bool is_nonspacing_mark(char32_t c) { return c >= 128 && (category_of_unicode_8(c) & U_GC_MN_MASK) != 0; }

bool is_control(char32_t c) {
  if (c < 128) return (c < 32 && c != '\t' && c != '\n' && c != '\r') || c == 127;
  return (category_of_unicode_8(c) & (U_GC_CC_MASK | U_GC_CF_MASK | U_GC_CO_MASK | U_GC_CS_MASK)) != 0;
}

}  // namespace loraxs
