// text/regex.h: a regular expression of a tokenizer.json, run by PCRE2.
#pragma once
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace loraxs {

/// Written for Oniguruma or Rust's regex, whose \s and \w are Unicode properties; compiled with UTF, UCP and JIT.
class Regex {
 public:
  /// `where` starts the message of the Error thrown for a pattern that does not compile.
  Regex(const std::string& pattern, const std::string& where);

  /// Calls `match(begin, end)` for each match in `text` (valid UTF-8) from left to right, in bytes; empty matches are
  /// left out. Throws Error when the pattern backtracks beyond PCRE2's limits. Thread-safe.
  void for_each_match(std::string_view text, const std::function<void(size_t, size_t)>& match) const;

  /// `text` with every match replaced by `content` as it stands.
  std::string replace_all(std::string_view text, std::string_view content) const;

 private:
  std::shared_ptr<void> code_;  // pcre2_code
  std::string where_;
};

/// `text` as a pattern that matches it literally.
std::string literal_pattern(std::string_view text);

}  // namespace loraxs
