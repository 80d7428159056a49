#include "text/jinja/percent_format.h"

#include <array>
#include <cctype>
#include <cmath>
#include <cstdio>

#include "io/error.h"
#include "text/jinja/operators.h"
#include "text/jinja/text_builder.h"
#include "text/jinja/text_form.h"
#include "text/jinja/unicode.h"

namespace loraxs::jinja {
namespace {

struct Conversion {
  bool left = false, zero = false, plus = false;
  int width = 0, precision = -1;
  char kind = 's';
};

Conversion read_conversion(std::string_view text, size_t& at) {
  Conversion conversion;
  for (; at < text.size() && std::string_view("-0+ #").find(text[at]) != std::string_view::npos; ++at) {
    conversion.left |= text[at] == '-';
    conversion.zero |= text[at] == '0';
    conversion.plus |= text[at] == '+';
  }
  const auto digits = [&] {
    int number = 0;
    for (; at < text.size() && std::isdigit(static_cast<unsigned char>(text[at])) != 0; ++at) {
      number = number * 10 + (text[at] - '0');
      if (number > 10'000) throw Failure(FailureKind::kLimit, "expected a format width of at most 10000");
    }
    return number;
  };
  conversion.width = digits();
  if (at < text.size() && text[at] == '.') {
    ++at;
    conversion.precision = digits();
  }
  if (at == text.size()) throw Failure(FailureKind::kValue, "incomplete format");
  conversion.kind = text[at++];
  return conversion;
}

/// A float as the integer it begins with.
int64_t whole_part(double number) {
  if (!std::isfinite(number)) throw Failure(FailureKind::kValue, "cannot convert float NaN or infinity to integer");
  if (std::abs(number) >= 9.2e18) throw Failure(FailureKind::kUnsupported, "expected integers of 64 bits");
  return static_cast<int64_t>(number);
}

/// A number's digits, with its sign.
std::string digits_of(const Conversion& conversion, const Value& value) {
  const auto number = value.number();
  std::string digits;
  switch (conversion.kind) {
    case 'd':
    case 'i':
    case 'x': {
      if (value.is_undefined()) fail_undefined(value);
      if (!number || (conversion.kind == 'x' && !value.integer())) {
        throw Failure(FailureKind::kType,
                      concat("%", conversion.kind, " format: a real number is required, not ", value.type_name()));
      }
      const auto whole = value.integer() ? *value.integer() : whole_part(*number);
      digits = conversion.kind == 'x' ? concat(std::hex, whole) : std::to_string(whole);
      break;
    }
    case 'f': {
      if (!number) throw Failure(FailureKind::kType, concat("must be real number, not ", value.type_name()));
      std::array<char, 512> buffer;
      const int precision = std::min(conversion.precision < 0 ? 6 : conversion.precision, 100);
      digits.assign(buffer.data(), std::snprintf(buffer.data(), buffer.size(), "%.*f", precision, *number));
      break;
    }
    default:
      throw Failure(FailureKind::kUnsupported,
                    concat("format ", in_quotes(concat("%", conversion.kind)), ": known are %s %r %d %i %x %f %%"));
  }
  return conversion.plus && !digits.starts_with('-') ? "+" + digits : digits;
}

void append_converted(TextBuilder& out, const Conversion& conversion, const Value& value, Budget& budget) {
  const bool numeric = conversion.kind != 's' && conversion.kind != 'r';
  const Text body = numeric                  ? Text(digits_of(conversion, value))
                    : conversion.kind == 's' ? str(value, budget)
                                             : repr(value, budget);
  std::string_view shown = *body;
  budget.read(shown.size());
  if (!numeric && conversion.precision >= 0) shown = shown.substr(0, byte_offset(shown, conversion.precision));
  const int64_t missing = conversion.width - length(shown);
  if (conversion.left) {
    out.append(shown);
    out.append_repeated(" ", missing);
  } else if (numeric && conversion.zero) {
    const size_t sign = shown.starts_with('-') || shown.starts_with('+') ? 1 : 0;
    out.append(shown.substr(0, sign));
    out.append_repeated("0", missing);
    out.append(shown.substr(sign));
  } else {
    out.append_repeated(" ", missing);
    out.append(shown);
  }
}

}  // namespace

Text percent_format(const std::string& format, const Value& value, Budget& budget) {
  const std::string_view text = format;
  const Values single = {value};
  const Items* tuple = value.items(Items::Kind::kTuple);
  const Values& arguments = tuple != nullptr ? *tuple->values : single;
  size_t used = 0;
  TextBuilder out(budget);
  budget.walk(text.size());
  for (size_t at = 0; at < text.size();) {
    const size_t sign = std::min(text.find('%', at), text.size());
    out.append(text.substr(at, sign - at));
    at = sign + 1;
    if (sign == text.size()) break;
    if (at < text.size() && text[at] == '%') {
      out.append('%');
      ++at;
      continue;
    }
    budget.step(4);
    const Value* argument = nullptr;
    if (at < text.size() && text[at] == '(') {
      const size_t end = text.find(')', at);
      if (end == std::string::npos) throw Failure(FailureKind::kValue, "incomplete format key");
      if (value.mapping() == nullptr) throw Failure(FailureKind::kType, "format requires a mapping");
      const std::string_view key = text.substr(at + 1, end - at - 1);
      argument = value.mapping()->find_text(key);
      if (argument == nullptr) throw Failure(FailureKind::kValue, "KeyError: " + in_quotes(key));
      at = end + 1;
    }
    const Conversion conversion = read_conversion(text, at);
    if (argument == nullptr) {
      if (used == arguments.size()) throw Failure(FailureKind::kType, "not enough arguments for format string");
      argument = &arguments[used++];
    }
    append_converted(out, conversion, *argument, budget);
  }
  if (used < arguments.size() && value.mapping() == nullptr) {
    throw Failure(FailureKind::kType, "not all arguments converted during string formatting");
  }
  return out.take();
}

}  // namespace loraxs::jinja
