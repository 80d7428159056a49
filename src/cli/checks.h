// cli/checks.h: bounds of options' numbers, told as the program tells its errors.
#pragma once
#include <CLI/CLI.hpp>
#include <charconv>
#include <cmath>
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

/// A whole number in decimal digits that fits `Number`. CLI11 alone takes -1 for the largest unsigned number, cuts what
/// is too large, and reads 010 as 8.
template <class Number>
CLI::Validator whole_number() {
  const auto check = [](const std::string& text) {
    const bool has_sign = text.starts_with('+') || text.starts_with('-');
    const std::string digits = has_sign ? text.substr(1) : text;
    Number number = 0;
    const char* const end = text.data() + text.size();
    const auto [stopped, error] = std::from_chars(text.data() + (text.starts_with('+') ? 1 : 0), end, number);
    const bool is_octal = digits.size() > 1 && digits.starts_with('0');
    if (error == std::errc() && stopped == end && !is_octal) return std::string();
    const std::string least = std::is_unsigned_v<Number> ? " of at least 0" : "",
                      most = error == std::errc::result_out_of_range
                                 ? " of at most " + std::to_string(std::numeric_limits<Number>::max())
                                 : "";
    return "expected a whole number" + (most.empty() ? least : most) + ", found " + text;
  };
  return {check, ""};
}

inline CLI::Validator whole_number_between(std::int64_t least, std::int64_t most) {
  const auto check = [least, most](const std::string& text) {
    std::int64_t number = 0;
    const bool is_number = CLI::detail::lexical_cast(text, number);
    if (is_number && number >= least && number <= most) return std::string();
    return "expected a whole number from " + std::to_string(least) + " to " + std::to_string(most) + ", found " + text;
  };
  return {check, std::to_string(least) + ".." + std::to_string(most)};
}

inline CLI::Validator number_between(std::int64_t least, std::int64_t most) {
  const auto check = [least, most](const std::string& text) {
    double number = 0;
    const bool is_number = CLI::detail::lexical_cast(text, number);
    if (is_number && number >= static_cast<double>(least) && number <= static_cast<double>(most)) return std::string();
    return "expected a number from " + std::to_string(least) + " to " + std::to_string(most) + ", found " + text;
  };
  return {check, std::to_string(least) + ".." + std::to_string(most)};
}

inline CLI::Validator finite_number() {
  const auto check = [](const std::string& text) {
    double number = 0;
    const bool is_number = CLI::detail::lexical_cast(text, number);
    return is_number && std::isfinite(number) ? std::string() : "expected a finite number, found " + text;
  };
  return {check, ""};
}

/// Gives every option of `app` that is a number the check of its kind, behind its own.
inline void check_numbers(CLI::App& app) {
  for (CLI::Option* option : app.get_options()) {
    const std::string type = option->get_type_name();
    if (type.starts_with("UINT")) option->check(whole_number<std::uint64_t>());
    if (type.starts_with("INT")) option->check(whole_number<std::int64_t>());
    if (type.starts_with("FLOAT")) option->check(finite_number());
  }
}

/// Beyond these a number is a mistake; products of two of them, and of sizes in bytes, fit 64 bits.
inline constexpr std::int64_t kMostCount = 1'000'000, kMostTokens = std::int64_t{1} << 24, kMostRows = 1'000'000'000,
                              kMostAnswers = 1000;
inline CLI::Validator count_from(std::int64_t least) { return whole_number_between(least, kMostCount); }
inline CLI::Validator tokens_from(std::int64_t least) { return whole_number_between(least, kMostTokens); }
inline CLI::Validator gibibytes() { return number_between(0, kMostCount); }

inline CLI::Validator above_zero() { return number_above(false, "POSITIVE"); }
inline CLI::Validator at_least_zero() { return number_above(true, "NONNEGATIVE"); }

}  // namespace loraxs
