// Filters over single values: jinja2/filters.py 3.1, and tojson as transformers replaces it.
#include <array>
#include <charconv>
#include <cmath>

#include "io/error.h"
#include "text/jinja/builtin.h"
#include "text/jinja/machine.h"
#include "text/jinja/operators.h"
#include "text/jinja/text_form.h"
#include "text/jinja/unicode.h"

namespace loraxs::jinja {
namespace {

/// int(text, base), and float(text): white space around, underscores between digits.
std::optional<std::string> plain_digits(const Text& text, Budget& budget) {
  budget.walk(text->size());
  budget.text(static_cast<int64_t>(text->size()));
  const std::string trimmed = *strip(text, Side::kBoth, nullptr, budget);
  std::string plain;
  for (size_t i = 0; i < trimmed.size(); ++i) {
    const bool between = i > 0 && i + 1 < trimmed.size() &&
                         std::isalnum(static_cast<unsigned char>(trimmed[i - 1])) != 0 &&
                         std::isalnum(static_cast<unsigned char>(trimmed[i + 1])) != 0;
    if (trimmed[i] == '_' && !between) return std::nullopt;
    if (trimmed[i] != '_') plain += trimmed[i];
  }
  return plain;
}

std::optional<int64_t> parse_integer(const Text& text, int64_t base, Budget& budget) {
  auto plain = plain_digits(text, budget);
  if (!plain || plain->empty() || base < 2 || base > 36) return std::nullopt;
  const bool negative = plain->front() == '-';
  if (negative || plain->front() == '+') plain->erase(0, 1);
  const char letter = plain->size() > 1 && plain->front() == '0' ? static_cast<char>((*plain)[1] | 0x20) : '\0';
  if ((base == 16 && letter == 'x') || (base == 8 && letter == 'o') || (base == 2 && letter == 'b')) plain->erase(0, 2);
  uint64_t value = 0;
  const auto [end, error] =
      std::from_chars(plain->data(), plain->data() + plain->size(), value, static_cast<int>(base));
  if (plain->empty() || end != plain->data() + plain->size()) return std::nullopt;
  if (error != std::errc() || value > INT64_MAX) {
    throw Failure(FailureKind::kUnsupported, "expected integers of 64 bits, found " + in_quotes(*text));
  }
  return negative ? -static_cast<int64_t>(value) : static_cast<int64_t>(value);
}

std::optional<double> parse_float(const Text& text, Budget& budget) {
  auto plain = plain_digits(text, budget);
  if (!plain || plain->empty()) return std::nullopt;
  if (plain->front() == '+' && plain->size() > 1 && (*plain)[1] != '-') plain->erase(0, 1);
  double value = 0;
  const auto [end, error] = std::from_chars(plain->data(), plain->data() + plain->size(), value);
  if (end != plain->data() + plain->size()) return std::nullopt;
  if (error == std::errc::result_out_of_range) return std::strtod(plain->c_str(), nullptr);
  return error == std::errc() ? std::optional(value) : std::nullopt;
}

std::optional<int64_t> whole_of(double value) {
  if (!std::isfinite(value)) return std::nullopt;
  if (std::abs(value) >= 9.2e18) throw Failure(FailureKind::kUnsupported, "expected integers of 64 bits");
  return static_cast<int64_t>(value);
}

Value to_int(Machine& machine, const Bound& bound) {
  Value fallback = bound.value(1, 0);
  if (bound[0].is_undefined()) fail_undefined(bound[0]);
  if (const Text* text = bound[0].get<Text>()) {
    if (const auto whole = parse_integer(*text, bound.integer(2, 10), machine.budget)) return *whole;
    const auto real = parse_float(*text, machine.budget);
    const auto whole = real ? whole_of(*real) : std::nullopt;
    return whole ? Value(*whole) : fallback;
  }
  if (const auto whole = bound[0].integer()) return *whole;
  if (!bound[0].number()) return fallback;
  const double real = *bound[0].number();
  if (std::isinf(real)) throw Failure(FailureKind::kValue, "cannot convert float infinity to integer");
  const auto whole = whole_of(real);
  return whole ? Value(*whole) : fallback;
}

Value to_float(Machine& machine, const Bound& bound) {
  if (bound[0].is_undefined()) fail_undefined(bound[0]);
  const auto real = bound[0].text() != nullptr ? parse_float(bound.text(0), machine.budget) : bound[0].number();
  return real ? Value(*real) : bound.value(1, 0.0);
}

Value round_to(Machine&, const Bound& bound) {
  const std::string method = bound.has(2) ? *bound.text(2) : "common";
  if (method != "common" && method != "ceil" && method != "floor") {
    throw Failure(FailureKind::kType, "method must be common, ceil or floor");
  }
  if (bound[0].is_undefined()) fail_undefined(bound[0]);
  if (!bound[0].number()) {
    throw Failure(FailureKind::kType, concat("type ", bound[0].type_name(), " doesn't define __round__ method"));
  }
  const int64_t precision = bound.integer(1, 0);
  if (precision < -20 || precision > 20) throw Failure(FailureKind::kUnsupported, "round to more than 20 digits");
  const double real = *bound[0].number();
  if (method != "common") {
    const double scale = std::pow(10.0, static_cast<double>(precision));
    return (method == "ceil" ? std::ceil(real * scale) : std::floor(real * scale)) / scale;
  }
  if (const auto whole = bound[0].integer(); whole && precision >= 0) return *whole;
  if (precision < 0) throw Failure(FailureKind::kUnsupported, "round to tens and beyond");
  if (!std::isfinite(real)) return real;
  // As CPython: the decimal text with so many digits, halves of the exact binary value to even.
  std::array<char, 400> buffer;
  std::snprintf(buffer.data(), buffer.size(), "%.*f", static_cast<int>(precision), real);
  return std::strtod(buffer.data(), nullptr);
}

Value absolute(Machine&, const Bound& bound) {
  if (const auto* real = bound[0].get<double>()) return std::abs(*real);
  if (const auto whole = bound[0].integer()) return *whole < 0 ? negated(*whole) : Value(*whole);
  if (bound[0].is_undefined()) fail_undefined(bound[0]);
  throw Failure(FailureKind::kType, concat("bad operand type for abs(): '", bound[0].type_name(), "'"));
}

Value attribute(Machine& machine, const Bound& bound) {
  const Text& name = bound.text(1);
  if (bound[0].mapping() != nullptr && find_method(bound[0], *name) == nullptr) {
    return Undefined{"'dict object' has no attribute " + in_quotes(*name)};
  }
  return machine.attribute(bound[0], name);
}

Value default_value(Machine&, const Bound& bound) {
  const bool missing = bound[0].is_undefined() || (bound.truth(2, false) && !truth(bound[0]));
  return missing ? bound.value(1, "") : bound[0];
}

Value to_json_text(Machine& machine, const Bound& bound) {
  JsonStyle style{.ensure_ascii = bound.truth(1, false), .sort_keys = bound.truth(4, false)};
  if (bound.has(2) && !bound[2].is_none()) {
    const int64_t width = std::max<int64_t>(bound[2].text() == nullptr ? bound.integer(2, 0) : 0, 0);
    style.indent =
        bound[2].text() != nullptr ? bound.text(2) : *arithmetic(" ", "*", width, machine.budget).get<Text>();
    style.item_separator = ",";
  }
  if (bound.has(3) && !bound[3].is_none()) {
    const Elements pair = iterate(bound[3], machine.budget);
    if (pair.size() != 2 || pair[0].text() == nullptr || pair[1].text() == nullptr) {
      throw Failure(FailureKind::kValue, "separators: expected two texts");
    }
    style.item_separator = *pair[0].get<Text>();
    style.key_separator = *pair[1].get<Text>();
  }
  return to_json(bound[0], style, machine.budget);
}

}  // namespace

std::span<const Builtin> value_filters() {
  static const std::array<Builtin, 8> table = {{
      {"abs", {"x"}, 1, absolute},
      {"attr", {"obj", "name"}, 2, attribute},
      {"d", {"value", "default_value", "boolean"}, 1, default_value},
      {"default", {"value", "default_value", "boolean"}, 1, default_value},
      {"float", {"value", "default"}, 1, to_float},
      {"int", {"value", "default", "base"}, 1, to_int},
      {"round", {"value", "precision", "method"}, 1, round_to},
      {"tojson", {"x", "ensure_ascii", "indent", "separators", "sort_keys"}, 1, to_json_text},
  }};
  return table;
}

}  // namespace loraxs::jinja
