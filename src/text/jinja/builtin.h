// text/jinja/builtin.h: filters, tests and methods as tables of functions with named parameters.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/budget.h"
#include "text/jinja/value.h"

namespace loraxs::jinja {

/// The arguments of one call sorted into the parameters of a Builtin, by Python's rules.
class Bound {
 public:
  bool has(size_t index) const { return index < values_.size() && values_[index].has_value(); }
  const Value& operator[](size_t index) const { return *values_[index]; }
  Value value(size_t index, const Value& fallback) const { return has(index) ? *values_[index] : fallback; }
  /// As Python's C functions take them: another type is a TypeError.
  int64_t integer(size_t index, int64_t fallback) const;
  const Text& text(size_t index) const;
  /// The text, every code point of which is then looked at: charged here.
  const std::string& walked(size_t index, Budget& budget) const;
  bool truth(size_t index, bool fallback) const;
  /// What a parameter "*" collects: further positional arguments and all named ones.
  const Arguments& rest() const { return rest_; }

 private:
  friend Bound bind(const struct Builtin& builtin, Arguments arguments);
  std::vector<std::optional<Value>> values_;
  Arguments rest_;
};

struct Builtin {
  const char* name;
  std::vector<const char*> parameters;  // the value it is applied to first; "*" at the end: takes anything further
  size_t required;                      // how many must be given
  Value (*run)(Machine&, const Bound&);
};

/// Throws Failure (TypeError) for missing, unknown, double and surplus arguments.
Bound bind(const Builtin& builtin, Arguments arguments);

const Builtin* find_filter(std::string_view name);
const Builtin* find_test(std::string_view name);
/// The method `name` of a text, list, tuple or dict that only reads.
const Builtin* find_method(const Value& value, std::string_view name);
/// range, dict, namespace, raise_exception, strftime_now; null for anything else.
std::optional<Value> find_global(std::string_view name);

/// Tables of the files below; find_filter looks through them.
std::span<const Builtin> text_filters();
std::span<const Builtin> sequence_filters();
std::span<const Builtin> value_filters();
std::span<const Builtin> text_methods();
const Builtin* find_in(std::span<const Builtin> table, std::string_view name);

}  // namespace loraxs::jinja
