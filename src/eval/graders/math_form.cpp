#include "eval/graders/math_form.h"

#include <array>
#include <cctype>
#include <string_view>
#include <utility>
#include <vector>

namespace loraxs {
namespace {

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

std::vector<std::string> split(const std::string& text, std::string_view mark) {
  std::vector<std::string> parts;
  size_t begin = 0;
  for (size_t at = text.find(mark); at != std::string::npos; at = text.find(mark, begin)) {
    parts.push_back(text.substr(begin, at - begin));
    begin = at + mark.size();
  }
  parts.push_back(text.substr(begin));
  return parts;
}

void cut_units(MathForm& form) {
  constexpr std::string_view kUnit = "\\text{ ";
  const std::vector<std::string> parts = split(form.text, kUnit);
  if (parts.size() > 2) form.reference_fails = true;
  form.text = parts.front();
}

void keep_right_of_equals(std::string& text) {
  const std::vector<std::string> parts = split(text, "=");
  constexpr size_t kLongestName = 2;
  if (parts.size() == 2 && parts.front().size() <= kLongestName) text = parts.back();
}

void brace_roots(MathForm& form) {
  constexpr std::string_view kRoot = "\\sqrt";
  const std::vector<std::string> parts = split(form.text, kRoot);
  std::string text = parts.front();
  for (size_t i = 1; i < parts.size(); ++i) {
    const std::string& part = parts[i];
    text += kRoot;
    if (part.empty()) {
      form.reference_fails = true;
    } else if (part.front() == '{') {
      text += part;
    } else {
      text += std::string("{") + part.front() + "}" + part.substr(1);
    }
  }
  form.text = text;
}

void brace_fractions(MathForm& form) {
  constexpr std::string_view kFraction = "\\frac";
  const std::vector<std::string> parts = split(form.text, kFraction);
  std::string text = parts.front();
  for (size_t i = 1; i < parts.size(); ++i) {
    const std::string& part = parts[i];
    if (part.empty()) form.reference_fails = true;
    if (part.empty() || (part.front() != '{' && part.size() < 2)) return;  // one letter behind it: left as it is
    text += kFraction;
    if (part.front() == '{') {
      text += part;
    } else {
      const std::string second = part[1] == '{' ? "{" : std::string("{") + part[1] + "}";
      text += std::string("{") + part.front() + "}" + second + part.substr(2);
    }
  }
  form.text = text;
}

/// As Python's int() reads it and writes it again: "3", "-12", not "03".
enum class Integer { kNone, kOther, kCanonical };
Integer integer_kind(const std::string& text) {
  const size_t sign = !text.empty() && (text.front() == '-' || text.front() == '+') ? 1 : 0;
  if (text.size() == sign) return Integer::kNone;
  for (size_t i = sign; i < text.size(); ++i) {
    if (std::isdigit(static_cast<unsigned char>(text[i])) == 0) return Integer::kNone;
  }
  const bool leading_zero = text[sign] == '0' && text.size() > 1;
  return leading_zero || text.front() == '+' ? Integer::kOther : Integer::kCanonical;
}

void write_slash_as_fraction(MathForm& form) {
  const std::vector<std::string> parts = split(form.text, "/");
  if (parts.size() != 2) return;
  const Integer numerator = integer_kind(parts[0]), denominator = integer_kind(parts[1]);
  if (numerator == Integer::kNone || denominator == Integer::kNone) {
    form.reference_fails = true;
  } else if (numerator == Integer::kCanonical && denominator == Integer::kCanonical) {
    form.text = "\\frac{" + parts[0] + "}{" + parts[1] + "}";
  }
}

}  // namespace

MathForm math_form(const std::string& answer) {
  MathForm form{.text = answer};
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 10> kBefore = {{{"\n", ""},
                                                                                             {"\\!", ""},
                                                                                             {"\\\\", "\\"},
                                                                                             {"tfrac", "frac"},
                                                                                             {"dfrac", "frac"},
                                                                                             {"\\left", ""},
                                                                                             {"\\right", ""},
                                                                                             {"^{\\circ}", ""},
                                                                                             {"^\\circ", ""},
                                                                                             {"\\$", ""}}};
  for (const auto& [from, to] : kBefore) replace_all(form.text, from, to);
  cut_units(form);
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 3> kAfter = {
      {{"\\%", ""}, {" .", " 0."}, {"{.", "{0."}}};
  for (const auto& [from, to] : kAfter) replace_all(form.text, from, to);
  if (form.text.empty()) return form;
  if (form.text.front() == '.') form.text = "0" + form.text;
  keep_right_of_equals(form.text);
  brace_roots(form);
  replace_all(form.text, " ", "");
  brace_fractions(form);
  if (form.text == "0.5") form.text = "\\frac{1}{2}";
  write_slash_as_fraction(form);
  return form;
}

}  // namespace loraxs
