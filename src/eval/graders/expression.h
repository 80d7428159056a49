// eval/graders/expression.h: LaTeX arithmetic as numbers, so that two ways to write one value agree.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace loraxs {

/// The value of an expression of numbers (thousands with commas), one-letter variables, \pi, + - * / ^, \cdot, \times,
/// \div, \frac{}{}, \sqrt{}, \sqrt[n]{}, brackets and products without a sign. `variable` gives the value of a letter.
/// Nothing for any other text, and where the value is no finite number.
std::optional<double> evaluate_expression(std::string_view text, const std::function<double(char)>& variable);

/// Both are expressions and agree within `tolerance` (relative to the larger value; 1e-9 near 0) at five points of
/// fixed values of their variables.
bool equal_expressions(const std::string& x, const std::string& y, double tolerance);

}  // namespace loraxs
