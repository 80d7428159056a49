#include "eval/graders/expression.h"

#include <cctype>
#include <cmath>
#include <numbers>

#include "eval/graders/numbers.h"

namespace loraxs {
namespace {

constexpr size_t kLongestProduct = 3;  // letters in a row
constexpr int kDeepest = 100;  // brackets inside brackets; answers come from models, which may repeat themselves

/// Recursive descent; `failed` sticks.
class Reader {
 public:
  Reader(std::string_view text, const std::function<double(char)>& variable) : text_(text), variable_(variable) {}

  std::optional<double> read() {
    const double value = sum();
    if (failed_ || !rest().empty() || !std::isfinite(value)) return std::nullopt;
    return value;
  }

 private:
  std::string_view rest() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
    return text_.substr(at_);
  }
  bool take(std::string_view word) {
    if (!rest().starts_with(word)) return false;
    // \pi is not the beginning of \pink.
    const bool command =
        word.size() > 1 && word.front() == '\\' && std::isalpha(static_cast<unsigned char>(word.back()));
    const size_t end = at_ + word.size();
    if (command && end < text_.size() && std::isalpha(static_cast<unsigned char>(text_[end])) != 0) return false;
    at_ = end;
    return true;
  }
  double fail() {
    failed_ = true;
    return 0;
  }

  double sum() {
    if (++depth_ > kDeepest) return fail();
    double value = take("-") ? -product() : (take("+"), product());
    while (!failed_) {
      if (take("+")) {
        value += product();
      } else if (take("-")) {
        value -= product();
      } else {
        break;
      }
    }
    --depth_;
    return value;
  }

  double product() {
    double value = power();
    while (!failed_) {
      if (take("*") || take("\\cdot") || take("\\times")) {
        value *= signed_power();
      } else if (take("/") || take("\\div")) {
        value /= signed_power();
      } else if (starts_factor()) {
        value *= power();
      } else {
        break;
      }
    }
    return value;
  }
  double signed_power() { return take("-") ? -power() : power(); }

  bool starts_factor() {
    const std::string_view next = rest();
    if (next.empty()) return false;
    const auto c = static_cast<unsigned char>(next.front());
    return std::isalnum(c) != 0 || c == '(' || c == '{' || next.starts_with("\\frac") || next.starts_with("\\sqrt") ||
           next.starts_with("\\pi");
  }

  double power() {
    const double base = factor();
    return take("^") ? std::pow(base, group_or_sign()) : base;
  }
  double group_or_sign() { return take("-") ? -factor() : factor(); }

  double factor() {
    if (take("(")) return closed(")");
    if (take("{")) return closed("}");
    if (take("\\frac")) {
      const double numerator = braced();
      return numerator / braced();
    }
    if (take("\\sqrt")) {
      const double degree = take("[") ? closed("]") : 2;
      const double value = braced();
      return degree == 2 ? std::sqrt(value) : std::pow(value, 1 / degree);
    }
    if (take("\\pi")) return std::numbers::pi;
    const std::string_view next = rest();
    if (next.empty()) return fail();
    const auto c = static_cast<unsigned char>(next.front());
    if (std::isdigit(c) != 0 || c == '.') return number(next);
    size_t letters = 0;
    while (letters < next.size() && std::isalpha(static_cast<unsigned char>(next[letters])) != 0) ++letters;
    if (letters == 0 || letters > kLongestProduct) return fail();  // a word is no product
    ++at_;
    return variable_(static_cast<char>(c));
  }
  double braced() { return take("{") ? closed("}") : fail(); }
  double closed(std::string_view bracket) {
    const double value = sum();
    return take(bracket) ? value : fail();
  }

  double number(std::string_view next) {
    const auto found = first_number(next.substr(0, next.find('/')));
    const auto value = found && next.starts_with(*found) ? python_number(*found) : std::nullopt;
    if (!value) return fail();
    at_ += found->size();
    return *value;
  }

  std::string_view text_;
  const std::function<double(char)>& variable_;
  size_t at_ = 0;
  int depth_ = 0;
  bool failed_ = false;
};

}  // namespace

std::optional<double> evaluate_expression(std::string_view text, const std::function<double(char)>& variable) {
  return Reader(text, variable).read();
}

bool equal_expressions(const std::string& x, const std::string& y, double tolerance) {
  constexpr int kPoints = 5;
  constexpr double kNearZero = 1e-9;
  for (int point = 0; point < kPoints; ++point) {
    // Fixed values with no relation to each other: fractional parts of multiples of the golden ratio, in (0.5, 1.5).
    const auto variable = [&](char letter) {
      return 0.5 + std::fmod((letter * 7 + point * 131) * std::numbers::phi, 1.0);
    };
    const auto left = evaluate_expression(x, variable), right = evaluate_expression(y, variable);
    if (!left || !right) return false;
    if (!relatively_close(*left, *right, tolerance) && std::abs(*left - *right) > kNearZero) return false;
  }
  return true;
}

}  // namespace loraxs
