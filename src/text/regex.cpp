#include "text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <cstring>

#include "io/error.h"
#include "text/graphemes.h"
#include "text/oniguruma.h"

namespace loraxs {
namespace {

template <typename T, void (*release)(T*)>
struct Release {
  void operator()(T* each) const { release(each); }
};
using CompileContext =
    std::unique_ptr<pcre2_compile_context, Release<pcre2_compile_context, pcre2_compile_context_free>>;
using MatchContext = std::unique_ptr<pcre2_match_context, Release<pcre2_match_context, pcre2_match_context_free>>;
using MatchData = std::unique_ptr<pcre2_match_data, Release<pcre2_match_data, pcre2_match_data_free>>;

/// Where a search gives up: PCRE2 counts the points it may have to come back to, some for each byte that a search runs
/// over, and the interpreter keeps them on the heap.
MatchContext limits_for(size_t text_bytes) {
  constexpr size_t kSteps = 1'000'000, kStepsPerByte = 8, kMostSteps = 1'000'000'000;
  constexpr uint32_t kHeapKilobytes = 64 << 10;
  MatchContext context(pcre2_match_context_create(nullptr));
  pcre2_set_match_limit(context.get(),
                        static_cast<uint32_t>(std::min(kSteps + kStepsPerByte * text_bytes, kMostSteps)));
  pcre2_set_heap_limit(context.get(), kHeapKilobytes);
  return context;
}

std::string message_of(int code) {
  PCRE2_UCHAR buffer[256];
  pcre2_get_error_message(code, buffer, sizeof buffer);
  return reinterpret_cast<const char*>(buffer);
}

}  // namespace

Regex::Regex(const std::string& pattern, const std::string& where) : where_(where) {
  if (pattern == R"(\X)") {
    kind_ = Kind::kGraphemes;
    return;
  }
  constexpr size_t kLongestPattern = 32 << 10;  // bytes; the longest published list of letters has 5,000
  if (pattern.size() > kLongestPattern) {
    throw Error(concat(where, ": expected a regular expression of at most ", kLongestPattern, " bytes, found ",
                       pattern.size()));
  }
  const CompileContext context(pcre2_compile_context_create(nullptr));
  pcre2_set_max_pattern_length(context.get(), 16 * kLongestPattern);  // names of classes become their members
  const std::string translated = translate_oniguruma(pattern, where);
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                                   PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error, &offset, context.get());
  if (code == nullptr) {
    throw Error(concat(where, ": expected a regular expression, found \"", pattern, "\" (", message_of(error), ")"));
  }
  code_ = std::shared_ptr<void>(code, [](void* each) { pcre2_code_free(static_cast<pcre2_code*>(each)); });
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);  // where it fails the interpreter runs
}

Regex Regex::literal(std::string text) {
  Regex regex;
  regex.kind_ = Kind::kLiteral;
  regex.literal_ = std::move(text);
  return regex;
}

void Regex::for_each_match(std::string_view text, TextLimit& limit,
                           const std::function<void(size_t, size_t)>& match) const {
  switch (kind_) {
    case Kind::kLiteral:
      return for_each_literal(text, match);
    case Kind::kGraphemes:
      return for_each_grapheme(text, match);
    case Kind::kExpression:
      return for_each_expression(text, limit, match);
  }
}

void Regex::for_each_literal(std::string_view text, const std::function<void(size_t, size_t)>& match) const {
  for (size_t at = 0; !literal_.empty() && at < text.size();) {
    // glibc's memmem is linear in both; std::string_view::find is not.
    const void* found = memmem(text.data() + at, text.size() - at, literal_.data(), literal_.size());
    if (found == nullptr) return;
    const size_t begin = static_cast<size_t>(static_cast<const char*>(found) - text.data());
    at = begin + literal_.size();
    match(begin, at);
  }
}

void Regex::for_each_expression(std::string_view text, TextLimit& limit,
                                const std::function<void(size_t, size_t)>& match) const {
  const auto* code = static_cast<const pcre2_code*>(code_.get());
  const MatchData match_data(pcre2_match_data_create_from_pattern(code, nullptr));
  const MatchContext limits = limits_for(text.size());
  const PCRE2_SIZE* range = pcre2_get_ovector_pointer(match_data.get());
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  uint32_t options = PCRE2_NO_UTF_CHECK;
  for (size_t at = 0, end_of_last = std::string::npos; at <= text.size();) {
    limit.count_search();
    const int found = pcre2_match(code, subject, text.size(), at, options, match_data.get(), limits.get());
    if (found == PCRE2_ERROR_JIT_STACKLIMIT) {
      options |= PCRE2_NO_JIT;  // the interpreter's memory is the heap
      continue;
    }
    if (found == PCRE2_ERROR_NOMATCH) return;
    if (found < 0) throw Error(concat(where_, ": this text is too much for the expression (", message_of(found), ")"));
    if (range[0] < at || range[1] < range[0]) {
      throw Error(concat(where_,
                         ": expected matches from left to right, found one that ends before it begins, or "
                         "begins before its search; \\K must not stand in look-around"));
    }
    const bool again = range[1] == range[0] && range[1] == end_of_last;
    if (!again) match(range[0], range[1]);
    at = end_of_last = range[1];
    if (!again) continue;
    do ++at;
    while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80);
  }
}

std::string Regex::replace_all(std::string_view text, std::string_view content, TextLimit& limit) const {
  std::string result;
  size_t end_of_last = 0;
  for_each_match(text, limit, [&](size_t begin, size_t end) {
    limit.require(result.size() + begin - end_of_last + content.size());
    result.append(text.substr(end_of_last, begin - end_of_last)).append(content);
    end_of_last = end;
  });
  return result.append(text.substr(end_of_last));
}

}  // namespace loraxs
