#include "eval/graders/numbers.h"

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <numeric>

#include "eval/graders/answer_text.h"

namespace loraxs {
namespace {

/// End of the digits from `at` on; commas belong to them where exactly three digits follow each.
size_t integer_end(std::string_view text, size_t at) {
  size_t end = at;
  while (end < text.size() && is_digit(text[end])) ++end;
  if (end == at || end - at > 3) return end;
  const auto group_at = [&](size_t comma) {
    size_t i = comma + 1;
    while (i < text.size() && is_digit(text[i])) ++i;
    return text[comma] == ',' && i == comma + 4;
  };
  while (end < text.size() && group_at(end)) end += 4;
  return end;
}

size_t number_end(std::string_view text, size_t at) {
  size_t end = integer_end(text, at);
  if (end + 1 < text.size() && text[end] == '.' && is_digit(text[end + 1])) {
    ++end;
    while (end < text.size() && is_digit(text[end])) ++end;
    return end;
  }
  if (end > at && end + 1 < text.size() && text[end] == '/' && is_digit(text[end + 1])) {
    return integer_end(text, end + 1);
  }
  return end;
}

}  // namespace

std::optional<double> python_number(std::string_view text) {
  std::string plain;
  for (const char c : trimmed(text)) {
    if (c == 'x' || c == 'X' || c == '(') return std::nullopt;  // C reads hexadecimal numbers and nan(…)
    if (c != ',') plain += c;
  }
  if (plain.empty()) return std::nullopt;
  char* end = nullptr;
  const double value = std::strtod(plain.c_str(), &end);
  if (end != plain.c_str() + plain.size()) return std::nullopt;
  return value;
}

bool relatively_close(double x, double y, double tolerance) {
  if (x == y) return true;
  if (!std::isfinite(x) || !std::isfinite(y)) return false;
  return std::abs(x - y) <= tolerance * std::max(std::abs(x), std::abs(y));
}

bool percent_close(double prediction, double gold) {
  constexpr double kTolerance = 1e-4, kHundred = 100;
  return relatively_close(gold / kHundred, prediction, kTolerance) || relatively_close(gold, prediction, kTolerance) ||
         relatively_close(gold * kHundred, prediction, kTolerance);
}

std::optional<std::string> first_number(std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (!is_digit(text[i]) && !(text[i] == '.' && i + 1 < text.size() && is_digit(text[i + 1]))) continue;
    const size_t end = number_end(text, i);
    const size_t before = i > 0 && text[i - 1] == '$' ? i - 1 : i;
    const bool negative = before > 0 && text[before - 1] == '-';
    return (negative ? "-" : "") + std::string(text.substr(i, end - i));
  }
  return std::nullopt;
}

std::optional<Ratio> exact_value(std::string_view number) {
  Ratio ratio;
  bool negative = false, decimals = false, second = false;
  int64_t denominator = 0, digits = 0;
  constexpr int64_t kMostDigits = 18, kTen = 10;
  for (const char c : number) {
    if (c == '-') {
      negative = true;
    } else if (c == '.') {
      decimals = true;
    } else if (c == '/') {
      second = true;
      digits = 0;
    } else if (is_digit(c)) {
      if (++digits > kMostDigits) return std::nullopt;
      int64_t& into = second ? denominator : ratio.numerator;
      into = into * kTen + (c - '0');
      if (decimals) ratio.denominator *= kTen;
    } else if (c != ',') {
      return std::nullopt;
    }
  }
  if (digits == 0 || (second && denominator == 0)) return std::nullopt;
  if (second) ratio.denominator = denominator;
  const int64_t divisor = std::gcd(ratio.numerator, ratio.denominator);
  ratio.numerator /= divisor;
  ratio.denominator /= divisor;
  if (negative) ratio.numerator = -ratio.numerator;
  return ratio;
}

}  // namespace loraxs
