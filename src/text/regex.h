// text/regex.h: a regular expression of a tokenizer.json, run by PCRE2.
#pragma once
#include <algorithm>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "text/text_limit.h"

namespace loraxs {

/// Written for Oniguruma (text/oniguruma.h says how it is translated); compiled with UTF, UCP and JIT. \X stands alone
/// or not at all: for_each_grapheme finds its matches.
class Regex {
 public:
  /// `where` starts the message of the Error thrown for a pattern that does not compile.
  Regex(const std::string& pattern, const std::string& where);
  /// Matches `text` as it stands.
  static Regex literal(std::string text);

  /// Calls `match(begin, end)` for each match in `text` (valid UTF-8) from left to right, in bytes; one that is empty
  /// counts where no other ended. Throws Error when the pattern backtracks beyond PCRE2's limits or the text's, or when
  /// a match begins before the search does (\K in look-behind). Thread-safe.
  void for_each_match(std::string_view text, TextLimit& limit, const std::function<void(size_t, size_t)>& match) const;

  /// Bytes of the shortest match; 0: it may be empty.
  size_t least_bytes() const { return kind_ == Kind::kLiteral ? std::max<size_t>(1, literal_.size()) : 0; }

  /// `text` with every match replaced by `content` as it stands.
  std::string replace_all(std::string_view text, std::string_view content, TextLimit& limit) const;

 private:
  Regex() = default;
  void for_each_literal(std::string_view text, const std::function<void(size_t, size_t)>& match) const;
  void for_each_expression(std::string_view text, TextLimit& limit,
                           const std::function<void(size_t, size_t)>& match) const;

  enum class Kind { kExpression, kLiteral, kGraphemes } kind_ = Kind::kExpression;
  std::shared_ptr<void> code_;  // pcre2_code
  std::string literal_;
  std::string where_;
};

}  // namespace loraxs
