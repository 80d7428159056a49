#include "eval/graders/gsm8k.h"

#include <cmath>
#include <optional>

#include "eval/graders/answer_text.h"
#include "eval/graders/numbers.h"
#include "io/error.h"

namespace loraxs {
namespace {

/// The first match of the reference's [\-+]?\d*[\.,/]?\d+ .
std::optional<std::string> reference_match(const std::string& text) {
  const auto digits_from = [&](size_t at) {
    while (at < text.size() && is_digit(text[at])) ++at;
    return at;
  };
  for (size_t begin = 0; begin < text.size(); ++begin) {
    const size_t first = begin + (text[begin] == '-' || text[begin] == '+' ? 1 : 0);
    const size_t middle = digits_from(first);
    const bool separator = middle < text.size() && (text[middle] == '.' || text[middle] == ',' || text[middle] == '/');
    const size_t last = separator ? digits_from(middle + 1) : middle;
    if (separator && last > middle + 1) return text.substr(begin, last - begin);
    if (middle > first) return text.substr(begin, middle - begin);
  }
  return std::nullopt;
}

/// The reference's value of its match; std::nearbyint rounds halves to even, as Python's round.
std::optional<double> reference_value(const std::string& match) {
  const size_t slash = match.find('/');
  if (slash == std::string::npos) {
    const auto value = python_number(match);
    return value && std::isfinite(*value) ? std::optional(std::nearbyint(*value)) : std::nullopt;
  }
  const auto numerator = python_number(match.substr(0, slash)), denominator = python_number(match.substr(slash + 1));
  if (!numerator || !denominator) return std::nullopt;
  return std::nearbyint(*denominator == 0 ? *numerator : *numerator / *denominator);
}

std::optional<std::string> marked_answer(const std::string& text) {
  auto behind = text_after_last(text, kAnswerMark);
  if (!behind) behind = text_after_last(text, kGsm8kMark);
  return behind ? first_number(*behind) : std::nullopt;
}

}  // namespace

std::string gsm8k_gold(const std::string& answer) {
  const auto found = marked_answer(answer);
  if (!found) throw Error("answer: expected \"#### \" and a number, found none");
  std::string plain;
  for (const char c : *found) {
    if (c != ',') plain += c;
  }
  return plain;
}

Grade grade_gsm8k(const std::string& text, const std::string& gold) {
  Grade grade;
  grade.strict_answer = marked_answer(strict_text(text)).value_or("");
  const auto said = exact_value(grade.strict_answer);
  grade.strict = said && said == exact_value(gold);
  const auto behind = text_after_last(compatible_text(text), kAnswerMark);
  const auto match = behind ? reference_match(*behind) : std::nullopt;
  const auto value = match ? reference_value(*match) : std::nullopt, right = python_number(gold);
  if (value) grade.compatible_answer = concat(static_cast<int64_t>(*value));
  grade.compatible = value && right && percent_close(*value, *right);
  return grade;
}

}  // namespace loraxs
