// text/oniguruma.h: expressions of tokenizer.json files, which are Oniguruma's, as PCRE2 reads them.
#pragma once
#include <string>
#include <string_view>

namespace loraxs {

/// An expression of PCRE2 (UTF, UCP) that matches what Oniguruma's `pattern` matches (its own syntax, version 6.9, as
/// the tokenizers package uses it). What differs is rewritten: classes inside classes and their intersections, POSIX
/// brackets and names of properties by Unicode's tables, \h \H \v \N \O \R \b \B \w \s \uHHHH, ^ and $ at every line,
/// (?m), options that stand alone, {,n}, {n}? and {n,m}+. Throws Error, which `where` begins, naming a construct that
/// has no counterpart: bytes (\xE4), \y \Y \C- \M-, (?~ ), (?P ), (?W), callouts (*NAME), {3,1}, and letters that fold
/// to several characters where case does not matter. What is wrong in both PCRE2 finds.
std::string translate_oniguruma(const std::string& pattern, const std::string& where);

/// The same for what stands in [ ], and for properties and escapes that are classes: text/oniguruma_class.cpp.
class OnigurumaClass {
 public:
  /// `at` is behind the "[" and is moved behind the "]". Returns an expression that matches one character.
  static std::string translate(std::string_view pattern, size_t& at, const std::string& where);
  /// An expression for \w, \h, … or nothing where the letter is no class of its own.
  static std::string escape(char letter);
  /// An expression for \p{NAME} or \P{NAME}; `at` is at the "{" and is moved behind the "}".
  static std::string property(std::string_view pattern, size_t& at, bool negated, const std::string& where);
};

/// The character of an escape \xHH, \x{…}, \uHHHH, \cX, \t, \e, …, as PCRE2 writes it; empty: no such escape. `at` is
/// at the letter and is moved behind it. For both parts of the translation.
std::string translate_character_escape(std::string_view pattern, size_t& at, const std::string& where);

[[noreturn]] void refuse_construct(const std::string& where, std::string_view pattern, std::string_view construct,
                                   std::string_view instead);

}  // namespace loraxs
