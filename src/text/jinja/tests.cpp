// What may stand behind `is`: jinja2/tests.py 3.1.
#include <array>

#include "io/error.h"
#include "text/jinja/builtin.h"
#include "text/jinja/expressions.h"
#include "text/jinja/operators.h"
#include "text/jinja/text_form.h"
#include "text/jinja/unicode.h"

namespace loraxs::jinja {
namespace {

bool divisible(const Value& value, const Value& divisor, int64_t rest, Budget& budget) {
  return equal(arithmetic(value, "%", divisor, budget), rest, budget);
}

bool all_cased_text(const Value& value, bool upper, Budget& budget) {
  const Text text = str(value, budget);
  budget.walk(text->size());
  return all_cased(*text, upper);
}

bool same_as(const Value& a, const Value& b, Budget& budget) {
  if (a.data().index() != b.data().index()) return false;
  if (a.items() != nullptr) return a.items() == b.items();
  if (a.mapping() != nullptr) return a.mapping() == b.mapping();
  if (a.object() != nullptr) return a.object() == b.object();
  if (a.text() != nullptr) return equal(a, b, budget);  // CPython's answer depends on which texts it shares
  return !a.number() || *a.number() == *b.number();
}

bool passes_sequence(const Value& v) {
  return v.text() != nullptr || v.mapping() != nullptr || v.is_undefined() ||
         (v.items() != nullptr && v.items()->kind <= Items::Kind::kRange);
}

template <size_t kIndex>
Value is_type(Machine&, const Bound& b) {
  return b[0].data().index() == kIndex;
}

template <char kFirst, char kSecond = 0>
Value compares(Machine& m, const Bound& b) {
  const char sign[] = {kFirst, kSecond, 0};
  return compare_values(b[0], sign, b[1], m.budget);
}

}  // namespace

const Builtin* find_test(std::string_view name) {
  using M = Machine&;
  using B = const Bound&;
  static const std::vector<const char*> one = {"value"}, two = {"value", "other"};
  static const std::array<Builtin, 39> table = {{
      {"odd", one, 1, [](M m, B b) -> Value { return divisible(b[0], 2, 1, m.budget); }},
      {"even", one, 1, [](M m, B b) -> Value { return divisible(b[0], 2, 0, m.budget); }},
      {"divisibleby", {"value", "num"}, 2, [](M m, B b) -> Value { return divisible(b[0], b[1], 0, m.budget); }},
      {"defined", one, 1, [](M, B b) -> Value { return !b[0].is_undefined(); }},
      {"undefined", one, 1, [](M, B b) -> Value { return b[0].is_undefined(); }},
      {"filter", one, 1, [](M, B b) -> Value { return find_filter(*b.text(0)) != nullptr; }},
      {"test", one, 1, [](M, B b) -> Value { return find_test(*b.text(0)) != nullptr; }},
      {"none", one, 1, [](M, B b) -> Value { return b[0].is_none(); }},
      {"boolean", one, 1, is_type<2>},
      {"true", one, 1, [](M, B b) -> Value { return b[0].get<bool>() != nullptr && *b[0].get<bool>(); }},
      {"false", one, 1, [](M, B b) -> Value { return b[0].get<bool>() != nullptr && !*b[0].get<bool>(); }},
      {"integer", one, 1, is_type<3>},
      {"float", one, 1, is_type<4>},
      {"lower", one, 1, [](M m, B b) -> Value { return all_cased_text(b[0], false, m.budget); }},
      {"upper", one, 1, [](M m, B b) -> Value { return all_cased_text(b[0], true, m.budget); }},
      {"string", one, 1, is_type<5>},
      {"mapping", one, 1, [](M, B b) -> Value { return b[0].mapping() != nullptr; }},
      {"number", one, 1, [](M, B b) -> Value { return b[0].number().has_value(); }},
      {"sequence", one, 1, [](M, B b) -> Value { return passes_sequence(b[0]); }},
      {"iterable", one, 1, [](M, B b) -> Value { return passes_sequence(b[0]) || b[0].items() != nullptr; }},
      {"callable", one, 1,
       [](M, B b) -> Value { return b[0].is_undefined() || (b[0].object() != nullptr && b[0].object()->callable()); }},
      {"sameas", two, 2, [](M m, B b) -> Value { return same_as(b[0], b[1], m.budget); }},
      {"escaped", one, 1, [](M, B) -> Value { return false; }},
      {"in", {"value", "seq"}, 2, [](M m, B b) -> Value { return contains(b[1], b[0], m.budget); }},
      {"==", two, 2, compares<'=', '='>},
      {"eq", two, 2, compares<'=', '='>},
      {"equalto", two, 2, compares<'=', '='>},
      {"!=", two, 2, compares<'!', '='>},
      {"ne", two, 2, compares<'!', '='>},
      {">", two, 2, compares<'>'>},
      {"gt", two, 2, compares<'>'>},
      {"greaterthan", two, 2, compares<'>'>},
      {">=", two, 2, compares<'>', '='>},
      {"ge", two, 2, compares<'>', '='>},
      {"<", two, 2, compares<'<'>},
      {"lt", two, 2, compares<'<'>},
      {"lessthan", two, 2, compares<'<'>},
      {"<=", two, 2, compares<'<', '='>},
      {"le", two, 2, compares<'<', '='>},
  }};
  return find_in(table, name);
}

}  // namespace loraxs::jinja
