#include "text/unicode_form.h"

#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/uniset.h>

#include <algorithm>
#include <stdexcept>

#include "text/utf8.h"

namespace loraxs {
namespace {

const icu::Normalizer2* instance_of(UnicodeForm form, UErrorCode& status) {
  switch (form) {
    case UnicodeForm::kNfc:
      return icu::Normalizer2::getNFCInstance(status);
    case UnicodeForm::kNfd:
      return icu::Normalizer2::getNFDInstance(status);
    case UnicodeForm::kNfkc:
      return icu::Normalizer2::getNFKCInstance(status);
    default:
      return icu::Normalizer2::getNFKDInstance(status);
  }
}

void check(UErrorCode status) {
  if (U_FAILURE(status)) throw std::runtime_error(std::string("ICU: ") + u_errorName(status));
}

const icu::UnicodeSet& characters_of_unicode_9() {
  static const icu::UnicodeSet set = [] {
    UErrorCode status = U_ZERO_ERROR;
    icu::UnicodeSet result(icu::UnicodeString::fromUTF8("[:age=9.0:]"), status);
    check(status);
    return result;
  }();
  return set;
}

}  // namespace

std::string to_unicode_form(std::string text, UnicodeForm form) {
  if (std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 128; })) return text;
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* instance = instance_of(form, status);
  check(status);
  std::string result;
  icu::StringByteSink<std::string> sink(&result, static_cast<int32_t>(text.size()));
  const icu::StringPiece piece(text.data(), static_cast<int32_t>(text.size()));
  icu::FilteredNormalizer2(*instance, characters_of_unicode_9()).normalizeUTF8(0, piece, sink, nullptr, status);
  check(status);
  return result;
}

void append_lowercase(std::string& text, char32_t c) {
  constexpr char32_t kCapitalIWithDot = 0x130, kDotAbove = 0x307;
  if (c == kCapitalIWithDot) {
    text += 'i';
    append_utf8(text, kDotAbove);
  } else if (c < 128) {
    text += static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  } else {
    append_utf8(text, static_cast<char32_t>(u_tolower(static_cast<UChar32>(c))));
  }
}

}  // namespace loraxs
