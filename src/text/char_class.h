// text/char_class.h: classes of characters as Hugging Face's Rust tokenizers see them.
#pragma once

namespace loraxs {

bool is_space(char32_t c);        // White_Space, as Rust's char::is_whitespace
bool is_numeric(char32_t c);      // Nd, Nl, No, as Rust's char::is_numeric
bool is_mark(char32_t c);         // M of Unicode 9, combining marks
bool is_word_char(char32_t c);    // \w of Rust's regex: Alphabetic, M, Nd, Pc, Join_Control
bool is_punctuation(char32_t c);  // ASCII punctuation and P of Unicode 8

/// The categories that the tokenizers' tables of Unicode 8 hold: a later nonspacing mark, punctuation or format
/// character is an ordinary letter to them.
bool is_nonspacing_mark(char32_t c);  // Mn
bool is_control(char32_t c);          // Cc, Cf, Cn, Co, Cs, but not tab, newline and carriage return

}  // namespace loraxs
