#include "text/jinja/operators.h"

#include <algorithm>
#include <cmath>

#include "io/error.h"
#include "text/jinja/percent_format.h"
#include "text/jinja/text_form.h"
#include "text/jinja/unicode.h"

namespace loraxs::jinja {
namespace {

[[noreturn]] void fail_operands(const Value& a, const std::string& sign, const Value& b) {
  if (a.is_undefined()) fail_undefined(a);
  if (b.is_undefined()) fail_undefined(b);
  throw Failure(FailureKind::kType,
                concat("unsupported operand type(s) for ", sign, ": '", a.type_name(), "' and '", b.type_name(), "'"));
}

[[noreturn]] void fail_overflow() {
  throw Failure(FailureKind::kUnsupported, "expected integers of 64 bits, found a larger result");
}

int64_t power(int64_t base, int64_t exponent) {
  int64_t result = 1;
  for (; exponent > 0 && base != 1 && base != 0; --exponent) {
    if (base == -1) return exponent % 2 == 0 ? result : -result;
    if (__builtin_mul_overflow(result, base, &result)) fail_overflow();
  }
  return exponent > 0 ? (base == 0 ? 0 : 1) : result;
}

Value whole_arithmetic(int64_t a, const std::string& sign, int64_t b) {
  int64_t result = 0;
  bool overflow = false;
  if (sign == "+") {
    overflow = __builtin_add_overflow(a, b, &result);
  } else if (sign == "-") {
    overflow = __builtin_sub_overflow(a, b, &result);
  } else if (sign == "*") {
    overflow = __builtin_mul_overflow(a, b, &result);
  } else if (sign == "**") {
    if (b < 0) {
      if (a == 0) throw Failure(FailureKind::kValue, "0.0 cannot be raised to a negative power");
      return std::pow(static_cast<double>(a), static_cast<double>(b));
    }
    return power(a, b);
  } else {
    if (b == 0)
      throw Failure(FailureKind::kValue, sign == "/" ? "division by zero" : "integer division or modulo by zero");
    if (sign == "/") return static_cast<double>(a) / static_cast<double>(b);
    if (b == -1) {  // INT64_MIN / -1 traps
      overflow = sign == "//" && __builtin_sub_overflow(int64_t{0}, a, &result);
    } else {
      const bool toward_zero = a % b != 0 && (a < 0) != (b < 0);
      result = sign == "//" ? a / b - (toward_zero ? 1 : 0) : a % b + (toward_zero ? b : 0);
    }
  }
  if (overflow) fail_overflow();
  return result;
}

Value real_arithmetic(double a, const std::string& sign, double b) {
  if (sign == "+") return a + b;
  if (sign == "-") return a - b;
  if (sign == "*") return a * b;
  if (sign == "**") return std::pow(a, b);
  if (b == 0) throw Failure(FailureKind::kValue, "float division by zero");
  if (sign == "/") return a / b;
  double rest = std::fmod(a, b);
  if (rest != 0 && (rest < 0) != (b < 0)) rest += b;
  return sign == "%" ? rest : std::floor((a - rest) / b + 0.5);
}

Value repeated(const Value& value, int64_t times, Budget& budget) {
  times = std::max<int64_t>(times, 0);
  if (const std::string* text = value.text()) {
    const auto size = static_cast<int64_t>(text->size());
    if (size == 0) return "";
    if (times > (int64_t{1} << 40) / size) budget.text(int64_t{1} << 40);
    budget.text(size * times);
    std::string result;
    result.reserve(size * times);
    for (int64_t i = 0; i < times; ++i) result += *text;
    return result;
  }
  const Values& values = *value.items()->values;
  const auto size = static_cast<int64_t>(values.size());
  if (size > 0 && times > (int64_t{1} << 40) / size) budget.step(int64_t{1} << 40);
  budget.step(size * times);
  Values result;
  for (int64_t i = 0; i < times && size > 0; ++i) result.insert(result.end(), values.begin(), values.end());
  return Value::items(value.items()->kind, std::move(result));
}

bool is_sequence(const Value& value) {
  return value.items(Items::Kind::kList) != nullptr || value.items(Items::Kind::kTuple) != nullptr;
}

/// Begin, end and step of a slice over `size` elements, as indices in walking order.
std::vector<int64_t> slice_indices(int64_t size, const Value& begin, const Value& end, const Value& step) {
  const auto bound = [](const Value& value) -> std::optional<int64_t> {
    if (value.is_none()) return std::nullopt;
    if (value.integer()) return value.integer();
    throw Failure(FailureKind::kType, "slice indices must be integers or None or have an __index__ method");
  };
  const int64_t stride = bound(step).value_or(1);
  if (stride == 0) throw Failure(FailureKind::kValue, "slice step cannot be zero");
  const auto clamp = [&](std::optional<int64_t> at, int64_t fallback) {
    if (!at) return fallback;
    const int64_t low = stride > 0 ? 0 : -1, high = stride > 0 ? size : size - 1;
    return std::clamp(*at < 0 ? *at + size : *at, low, high);
  };
  const int64_t first = clamp(bound(begin), stride > 0 ? 0 : size - 1);
  const int64_t last = clamp(bound(end), stride > 0 ? size : -1);
  std::vector<int64_t> indices;
  for (int64_t i = first; stride > 0 ? i < last : i > last;) {
    indices.push_back(i);
    if (__builtin_add_overflow(i, stride, &i)) break;
  }
  return indices;
}

}  // namespace

void fail_undefined(const Value& value) {
  const Undefined& undefined = *value.get<Undefined>();
  throw Failure(undefined.unsafe ? FailureKind::kSecurity : FailureKind::kUndefined, undefined.message);
}

bool truth(const Value& value) {
  if (value.is_undefined() || value.is_none()) return false;
  if (const auto number = value.number()) return *number != 0;
  if (value.text() != nullptr) return !value.text()->empty();
  if (const Items* items = value.items()) return items->kind == Items::Kind::kGenerator || !items->values->empty();
  if (value.mapping() != nullptr) return !value.mapping()->entries.empty();
  return true;
}

bool equal(const Value& a, const Value& b, Budget& budget) {
  const Budget::Level guard(budget);
  if (a.number() && b.number()) {
    return a.integer() && b.integer() ? *a.integer() == *b.integer() : *a.number() == *b.number();
  }
  if (a.data().index() != b.data().index()) return false;
  if (a.text() != nullptr) return *a.text() == *b.text();
  if (a.items() != nullptr) {
    if (a.items() == b.items()) return true;
    const bool comparable = a.items()->kind == b.items()->kind && a.items()->kind != Items::Kind::kGenerator;
    const Values &left = *a.items()->values, &right = *b.items()->values;
    return comparable && left.size() == right.size() &&
           std::equal(left.begin(), left.end(), right.begin(),
                      [&](const Value& x, const Value& y) { return equal(x, y, budget); });
  }
  if (a.mapping() != nullptr) {
    const auto& entries = a.mapping()->entries;
    return entries.size() == b.mapping()->entries.size() &&
           std::all_of(entries.begin(), entries.end(), [&](const auto& entry) {
             const Value* other = b.mapping()->find(entry.first);
             return other != nullptr && equal(entry.second, *other, budget);
           });
  }
  if (a.object() != nullptr) return a.object() == b.object();
  return true;  // None, Undefined
}

int compare(const Value& a, const Value& b, const char* sign, Budget& budget) {
  const Budget::Level guard(budget);
  const auto order = [](const auto& x, const auto& y) { return x < y ? -1 : y < x ? 1 : 0; };
  if (a.integer() && b.integer()) return order(*a.integer(), *b.integer());
  if (a.number() && b.number()) return order(*a.number(), *b.number());
  if (a.text() != nullptr && b.text() != nullptr) return order(*a.text(), *b.text());  // UTF-8 keeps code point order
  if (is_sequence(a) && is_sequence(b) && a.items()->kind == b.items()->kind) {
    const Values &left = *a.items()->values, &right = *b.items()->values;
    for (size_t i = 0; i < std::min(left.size(), right.size()); ++i) {
      if (!equal(left[i], right[i], budget)) return compare(left[i], right[i], sign, budget);
    }
    return order(left.size(), right.size());
  }
  if (a.is_undefined()) fail_undefined(a);
  if (b.is_undefined()) fail_undefined(b);
  throw Failure(FailureKind::kType, concat("'", sign, "' not supported between instances of '", a.type_name(),
                                           "' and '", b.type_name(), "'"));
}

bool contains(const Value& container, const Value& element, Budget& budget) {
  if (container.is_undefined()) return false;
  if (const std::string* text = container.text()) {
    if (element.text() == nullptr) {
      throw Failure(FailureKind::kType,
                    concat("'in <string>' requires string as left operand, not ", element.type_name()));
    }
    budget.step(static_cast<int64_t>(text->size() / 64));
    return text->find(*element.text()) != std::string::npos;
  }
  if (const Mapping* mapping = container.mapping()) {
    if (element.items(Items::Kind::kList) != nullptr || element.mapping() != nullptr) {
      throw Failure(FailureKind::kType, concat("unhashable type: '", element.type_name(), "'"));
    }
    budget.step(static_cast<int64_t>(mapping->entries.size()));
    return mapping->find(element) != nullptr;
  }
  if (container.items() == nullptr) {
    throw Failure(FailureKind::kType, concat("argument of type '", container.type_name(), "' is not iterable"));
  }
  const Values values = iterate(container, budget);
  return std::any_of(values.begin(), values.end(), [&](const Value& each) { return equal(each, element, budget); });
}

int64_t size_of(const Value& value) {
  if (value.is_undefined()) return 0;
  if (value.text() != nullptr) return length(*value.text());
  if (value.mapping() != nullptr) return static_cast<int64_t>(value.mapping()->entries.size());
  if (value.items() != nullptr && value.items()->kind != Items::Kind::kGenerator) {
    return static_cast<int64_t>(value.items()->values->size());
  }
  throw Failure(FailureKind::kType, concat("object of type '", value.type_name(), "' has no len()"));
}

Value arithmetic(const Value& a, const std::string& sign, const Value& b, Budget& budget) {
  if (sign == "%" && a.text() != nullptr) return percent_format(*a.text(), b, budget);
  if (a.integer() && b.integer()) return whole_arithmetic(*a.integer(), sign, *b.integer());
  if (a.number() && b.number()) return real_arithmetic(*a.number(), sign, *b.number());
  if (sign == "+" && a.text() != nullptr && b.text() != nullptr) {
    budget.text(static_cast<int64_t>(a.text()->size() + b.text()->size()));
    return *a.text() + *b.text();
  }
  if (sign == "+" && is_sequence(a) && is_sequence(b) && a.items()->kind == b.items()->kind) {
    Values values = *a.items()->values;
    values.insert(values.end(), b.items()->values->begin(), b.items()->values->end());
    budget.step(static_cast<int64_t>(values.size()));
    return Value::items(a.items()->kind, std::move(values));
  }
  if (sign == "*" && (a.text() != nullptr || is_sequence(a)) && b.integer()) return repeated(a, *b.integer(), budget);
  if (sign == "*" && (b.text() != nullptr || is_sequence(b)) && a.integer()) return repeated(b, *a.integer(), budget);
  fail_operands(a, sign, b);
}

Value negated(const Value& value) {
  if (const auto whole = value.integer()) return whole_arithmetic(0, "-", *whole);
  if (const auto* real = value.get<double>()) return -*real;
  if (value.is_undefined()) fail_undefined(value);
  throw Failure(FailureKind::kType, concat("bad operand type for unary -: '", value.type_name(), "'"));
}

Values iterate(const Value& value, Budget& budget) {
  Values values;
  if (value.is_undefined()) return values;
  if (value.text() != nullptr) {
    budget.step(static_cast<int64_t>(value.text()->size()));
    for (const char32_t c : code_points(*value.text())) values.emplace_back(utf8({&c, 1}));
  } else if (const Mapping* mapping = value.mapping()) {
    for (const auto& entry : mapping->entries) values.push_back(entry.first);
  } else if (Items* items = value.items()) {
    values.assign(items->values->begin() + static_cast<int64_t>(items->next), items->values->end());
    if (items->kind == Items::Kind::kGenerator) items->next = items->values->size();
  } else {
    throw Failure(FailureKind::kType, concat("'", value.type_name(), "' object is not iterable"));
  }
  budget.step(static_cast<int64_t>(values.size()));
  return values;
}

Value slice(const Value& value, const Value& begin, const Value& end, const Value& step, Budget& budget) {
  if (const std::string* text = value.text()) {
    const std::u32string all = code_points(*text);
    budget.step(static_cast<int64_t>(all.size() / 64));
    std::u32string taken;
    for (const int64_t i : slice_indices(static_cast<int64_t>(all.size()), begin, end, step)) taken += all[i];
    budget.text(static_cast<int64_t>(taken.size()));
    return utf8(taken);
  }
  const Items* items = value.items();
  if (items == nullptr || items->kind == Items::Kind::kView || items->kind == Items::Kind::kGenerator) {
    if (value.is_undefined()) fail_undefined(value);
    return Undefined{concat("'", value.type_name(), "' object cannot be sliced")};
  }
  Values taken;
  for (const int64_t i : slice_indices(static_cast<int64_t>(items->values->size()), begin, end, step)) {
    taken.push_back((*items->values)[i]);
  }
  budget.step(static_cast<int64_t>(taken.size()));
  return Value::items(items->kind, std::move(taken), items->kind == Items::Kind::kRange ? "range(…)" : "");
}

}  // namespace loraxs::jinja
