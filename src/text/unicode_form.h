// text/unicode_form.h: Unicode normalisation forms and lower case, by ICU.
#pragma once
#include <string>

#include "text/text_limit.h"

namespace loraxs {

enum class UnicodeForm { kNfc, kNfd, kNfkc, kNfkd };

/// `text` (valid UTF-8) in that form by the rules of Unicode 9, as Hugging Face's tokenizers have them: a later
/// character stays as and where it is. ASCII is in all forms. Linear, whatever marks are stacked on a letter. Throws
/// Error where the form is longer than the limit leaves.
std::string to_unicode_form(std::string text, UnicodeForm form, TextLimit& limit);

/// The lower case of one character, whatever stands around it: two characters for U+0130, else one.
void append_lowercase(std::string& text, char32_t c);

}  // namespace loraxs
