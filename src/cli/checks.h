// cli/checks.h: bounds of options' numbers, told as the program tells its errors.
#pragma once
#include <CLI/CLI.hpp>
#include <string>

namespace loraxs {

/// A number above 0, or also 0; `name` stands beside the option's type in its help.
inline CLI::Validator number_above(bool takes_zero, const std::string& name) {
  const auto check = [takes_zero](const std::string& text) {
    double number = 0;
    const bool is_number = CLI::detail::lexical_cast(text, number);
    if (is_number && (number > 0 || (takes_zero && number == 0))) return std::string();
    return std::string("expected a number ") + (takes_zero ? "of at least" : "above") + " 0, found " + text;
  };
  return {check, name};
}

inline CLI::Validator above_zero() { return number_above(false, "POSITIVE"); }
inline CLI::Validator at_least_zero() { return number_above(true, "NONNEGATIVE"); }

}  // namespace loraxs
