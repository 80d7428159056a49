#include "text/jinja/percent_format.h"

#include <array>
#include <cctype>
#include <cstdio>

#include "io/error.h"
#include "text/jinja/operators.h"
#include "text/jinja/text_form.h"
#include "text/jinja/unicode.h"

namespace loraxs::jinja {
namespace {

struct Conversion {
  bool left = false, zero = false, plus = false;
  int width = 0, precision = -1;
  char kind = 's';
};

Conversion read_conversion(const std::string& text, size_t& at) {
  Conversion conversion;
  for (; at < text.size() && std::string("-0+ #").find(text[at]) != std::string::npos; ++at) {
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

std::string convert(const Conversion& conversion, const Value& value, Budget& budget) {
  std::string body;
  const auto number = value.number();
  switch (conversion.kind) {
    case 's':
    case 'r':
      body = conversion.kind == 's' ? str(value, budget) : repr(value, budget);
      if (conversion.precision >= 0) body = utf8(code_points(body).substr(0, conversion.precision));
      break;
    case 'd':
    case 'i':
    case 'x': {
      if (value.is_undefined()) fail_undefined(value);
      if (!number || (conversion.kind == 'x' && !value.integer())) {
        throw Failure(FailureKind::kType,
                      concat("%", conversion.kind, " format: a real number is required, not ", value.type_name()));
      }
      const auto whole = value.integer() ? *value.integer() : static_cast<int64_t>(*number);
      body = conversion.kind == 'x' ? concat(std::hex, whole) : std::to_string(whole);
      break;
    }
    case 'f': {
      if (!number) throw Failure(FailureKind::kType, concat("must be real number, not ", value.type_name()));
      std::array<char, 512> buffer;
      const int precision = std::min(conversion.precision < 0 ? 6 : conversion.precision, 100);
      body.assign(buffer.data(), std::snprintf(buffer.data(), buffer.size(), "%.*f", precision, *number));
      break;
    }
    default:
      throw Failure(FailureKind::kUnsupported, concat("format %", conversion.kind, ": known are %s %r %d %i %x %f %%"));
  }
  const bool numeric = conversion.kind != 's' && conversion.kind != 'r';
  if (numeric && conversion.plus && !body.starts_with('-')) body.insert(0, "+");
  const int64_t missing = conversion.width - length(body);
  if (missing > 0 && conversion.left) return body + std::string(missing, ' ');
  if (missing > 0 && numeric && conversion.zero) {
    return body.insert(body.starts_with('-') || body.starts_with('+') ? 1 : 0, std::string(missing, '0'));
  }
  return missing > 0 ? std::string(missing, ' ') + body : body;
}

}  // namespace

std::string percent_format(const std::string& text, const Value& value, Budget& budget) {
  const Items* tuple = value.items(Items::Kind::kTuple);
  const Values arguments = tuple != nullptr ? *tuple->values : Values{value};
  size_t used = 0;
  std::string out;
  for (size_t at = 0; at < text.size();) {
    if (text[at] != '%') {
      out += text[at++];
      continue;
    }
    if (text.compare(at, 2, "%%") == 0) {
      out += '%';
      at += 2;
      continue;
    }
    ++at;
    const Value* argument = nullptr;
    if (at < text.size() && text[at] == '(') {
      const size_t end = text.find(')', at);
      if (end == std::string::npos) throw Failure(FailureKind::kValue, "incomplete format key");
      if (value.mapping() == nullptr) throw Failure(FailureKind::kType, "format requires a mapping");
      argument = value.mapping()->find(text.substr(at + 1, end - at - 1));
      if (argument == nullptr) throw Failure(FailureKind::kValue, "KeyError: " + text.substr(at + 1, end - at - 1));
      at = end + 1;
    }
    const Conversion conversion = read_conversion(text, at);
    if (argument == nullptr) {
      if (used == arguments.size()) throw Failure(FailureKind::kType, "not enough arguments for format string");
      argument = &arguments[used++];
    }
    out += convert(conversion, *argument, budget);
    budget.text(static_cast<int64_t>(out.size()));
  }
  if (used < arguments.size() && value.mapping() == nullptr) {
    throw Failure(FailureKind::kType, "not all arguments converted during string formatting");
  }
  return out;
}

}  // namespace loraxs::jinja
