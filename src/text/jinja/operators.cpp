#include "text/jinja/operators.h"

#include <algorithm>
#include <cmath>

#include "io/error.h"
#include "text/jinja/percent_format.h"
#include "text/jinja/text_builder.h"
#include "text/jinja/text_search.h"
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
  if (const std::string* text = value.text()) {
    TextBuilder result(budget);
    result.append_repeated(*text, times);
    return result.take();
  }
  const Values& values = *value.items()->values;
  int64_t count = 0;
  if (__builtin_mul_overflow(static_cast<int64_t>(values.size()), std::max<int64_t>(times, 0), &count)) {
    count = INT64_MAX;
  }
  budget.list(count);
  Values result;
  result.reserve(count);
  while (static_cast<int64_t>(result.size()) < count) result.insert(result.end(), values.begin(), values.end());
  return Value::items(value.items()->kind, std::move(result));
}

bool is_sequence(const Value& value) {
  return value.items(Items::Kind::kList) != nullptr || value.items(Items::Kind::kTuple) != nullptr;
}

/// The indices that a slice takes: first, first + stride, …
struct Stride {
  int64_t first = 0, stride = 1, count = 0;
};

Stride slice_indices(int64_t size, const Value& begin, const Value& end, const Value& step) {
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
  const int64_t distance = stride > 0 ? last - first : first - last;
  const uint64_t width = stride > 0 ? static_cast<uint64_t>(stride) : 0 - static_cast<uint64_t>(stride);
  const auto count = distance <= 0 ? 0 : static_cast<int64_t>((static_cast<uint64_t>(distance) - 1) / width) + 1;
  return {first, stride, count};
}

Value text_slice(const Value& value, const Value& begin, const Value& end, const Value& step, Budget& budget) {
  const std::string& text = *value.text();
  const int64_t size = size_of(value, budget);
  const auto [first, stride, count] = slice_indices(size, begin, end, step);
  if (count == 0) return "";
  if (stride == 1) {
    if (count == size) return value;
    const size_t from = byte_offset(text, first);
    const size_t bytes = byte_offset(std::string_view(text).substr(from), count);
    budget.walk(from + bytes);
    budget.text(static_cast<int64_t>(bytes));
    return text.substr(from, bytes);
  }
  TextBuilder taken(budget);
  if (size == static_cast<int64_t>(text.size())) {  // one byte each
    for (int64_t i = 0; i < count; ++i) taken.append(text[first + i * stride]);
    return taken.take();
  }
  budget.walk(text.size());
  budget.text(4 * size);  // the code points
  const std::u32string all = code_points(text);
  for (int64_t i = 0; i < count; ++i) taken.append_code_point(all[first + i * stride]);
  return taken.take();
}

}  // namespace

void fail_undefined(const Value& value) {
  const Undefined& undefined = *value.get<Undefined>();
  throw Failure(undefined.unsafe ? FailureKind::kSecurity : FailureKind::kUndefined, *undefined.message);
}

bool truth(const Value& value) {
  if (value.is_undefined() || value.is_none()) return false;
  if (const auto number = value.number()) return *number != 0;
  if (value.text() != nullptr) return !value.text()->empty();
  if (const Items* items = value.items()) return items->kind == Items::Kind::kGenerator || !items->values->empty();
  if (value.mapping() != nullptr) return value.mapping()->size() > 0;
  return true;
}

bool equal(const Value& a, const Value& b, Budget& budget) {
  const Budget::Level guard(budget);
  if (a.number() && b.number()) {
    return a.integer() && b.integer() ? *a.integer() == *b.integer() : *a.number() == *b.number();
  }
  if (a.data().index() != b.data().index()) return false;
  if (a.text() != nullptr) {
    if (a.text() == b.text()) return true;
    if (a.text()->size() != b.text()->size()) return false;
    budget.read(a.text()->size());
    return *a.text() == *b.text();
  }
  if (a.items() != nullptr) {
    if (a.items() == b.items()) return true;
    const bool comparable = a.items()->kind == b.items()->kind && a.items()->kind != Items::Kind::kGenerator;
    const Values &left = *a.items()->values, &right = *b.items()->values;
    return comparable && left.size() == right.size() &&
           std::equal(left.begin(), left.end(), right.begin(),
                      [&](const Value& x, const Value& y) { return equal(x, y, budget); });
  }
  if (a.mapping() != nullptr) {
    if (a.mapping() == b.mapping()) return true;
    const auto& entries = a.mapping()->entries();
    return entries.size() == b.mapping()->size() && std::all_of(entries.begin(), entries.end(), [&](const auto& entry) {
             if (entry.first.text() != nullptr) budget.read(entry.first.text()->size());
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
  if (a.text() != nullptr && b.text() != nullptr) {
    budget.read(std::min(a.text()->size(), b.text()->size()));
    return order(*a.text(), *b.text());  // UTF-8 keeps the order of code points
  }
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
    return find_part(*text, *element.text(), 0, budget) != std::string::npos;
  }
  if (const Mapping* mapping = container.mapping()) {
    if (element.items(Items::Kind::kList) != nullptr || element.mapping() != nullptr) {
      throw Failure(FailureKind::kType, concat("unhashable type: '", element.type_name(), "'"));
    }
    if (element.text() != nullptr) budget.read(element.text()->size());
    return mapping->find(element) != nullptr;
  }
  if (container.items() == nullptr) {
    throw Failure(FailureKind::kType, concat("argument of type '", container.type_name(), "' is not iterable"));
  }
  const Elements values = iterate(container, budget);
  return std::any_of(values.begin(), values.end(), [&](const Value& each) { return equal(each, element, budget); });
}

int64_t size_of(const Value& value, Budget& budget) {
  if (value.is_undefined()) return 0;
  if (value.text() != nullptr) {
    budget.read(value.text()->size());
    return length(*value.text());
  }
  if (value.mapping() != nullptr) return static_cast<int64_t>(value.mapping()->size());
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
    if (a.text()->empty()) return b;
    if (b.text()->empty()) return a;
    budget.text(static_cast<int64_t>(a.text()->size() + b.text()->size()));
    return *a.text() + *b.text();
  }
  if (sign == "+" && is_sequence(a) && is_sequence(b) && a.items()->kind == b.items()->kind) {
    const Values &left = *a.items()->values, &right = *b.items()->values;
    budget.list(static_cast<int64_t>(left.size() + right.size()));
    Values values;
    values.reserve(left.size() + right.size());
    values.insert(values.end(), left.begin(), left.end());
    values.insert(values.end(), right.begin(), right.end());
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

Elements iterate(const Value& value, Budget& budget) {
  if (value.is_undefined()) return {};
  if (Items* items = value.items()) {
    Elements elements(items->values, items->next, items->depth);
    if (items->kind == Items::Kind::kGenerator) items->next = items->values->size();
    budget.step(static_cast<int64_t>(elements.size()));
    return elements;
  }
  Values values;
  if (const std::string* text = value.text()) {
    const int64_t count = size_of(value, budget);
    budget.list(count);
    values.reserve(count);
    for (size_t at = 0; at < text->size();) {
      const size_t bytes = char_bytes((*text)[at]);
      budget.text(static_cast<int64_t>(bytes));
      values.emplace_back(text->substr(at, bytes));
      at += bytes;
    }
    return {std::make_shared<const Values>(std::move(values)), 0, 1};
  }
  if (const Mapping* mapping = value.mapping()) {
    budget.list(static_cast<int64_t>(mapping->size()));
    values.reserve(mapping->size());
    for (const auto& entry : mapping->entries()) values.push_back(entry.first);
    return {std::make_shared<const Values>(std::move(values)), 0, 1};
  }
  throw Failure(FailureKind::kType, concat("'", value.type_name(), "' object is not iterable"));
}

Value slice(const Value& value, const Value& begin, const Value& end, const Value& step, Budget& budget) {
  if (value.text() != nullptr) return text_slice(value, begin, end, step, budget);
  const Items* items = value.items();
  if (items == nullptr || items->kind == Items::Kind::kView || items->kind == Items::Kind::kGenerator) {
    if (value.is_undefined()) fail_undefined(value);
    return Undefined{concat("'", value.type_name(), "' object cannot be sliced")};
  }
  const auto [first, stride, count] = slice_indices(static_cast<int64_t>(items->values->size()), begin, end, step);
  budget.list(count);
  Values taken;
  taken.reserve(count);
  for (int64_t i = 0; i < count; ++i) taken.push_back((*items->values)[first + i * stride]);
  return Value::items(items->kind, std::move(taken), items->kind == Items::Kind::kRange ? "range(…)" : "");
}

}  // namespace loraxs::jinja
