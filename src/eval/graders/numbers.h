// eval/graders/numbers.h: numbers as answers write them.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace loraxs {

inline bool is_digit(char c) { return c >= '0' && c <= '9'; }  // ASCII, whatever the locale

/// The value of a whole text as Python's float() reads it once commas are gone: "1,234.5", "-3", "1e5"; else nothing.
std::optional<double> python_number(std::string_view text);

/// |x − y| ≤ tolerance · max(|x|, |y|).
bool relatively_close(double x, double y, double tolerance);

/// The reference's tolerant comparison: a prediction within 1e-4 of a hundredth, the whole or a hundredfold of the
/// right value counts ("percent").
bool percent_close(double prediction, double gold);

/// The first number in a text: sign, digits with commas in groups of three or none, decimals, or a fraction of two such
/// integers ("$1,234.50", "3/4"); a `$` before it is skipped. Nothing where there is none.
std::optional<std::string> first_number(std::string_view text);
/// Its exact value as numerator / denominator, in lowest terms; nothing beyond 18 digits and for a denominator of 0.
struct Ratio {
  int64_t numerator = 0, denominator = 1;
  bool operator==(const Ratio&) const = default;
};
std::optional<Ratio> exact_value(std::string_view number);

}  // namespace loraxs
