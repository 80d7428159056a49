// text/jinja/operators.h: Python's operators on template values; every Failure says what Python's exception says.
#pragma once
#include <memory>
#include <string>
#include <utility>

#include "text/jinja/budget.h"
#include "text/jinja/failure.h"
#include "text/jinja/value.h"

namespace loraxs::jinja {

[[noreturn]] void fail_undefined(const Value& value);  // for a Value that is_undefined()

bool truth(const Value& value);
bool equal(const Value& a, const Value& b, Budget& budget);
/// -1, 0, 1. Throws where Python cannot order the two.
int compare(const Value& a, const Value& b, const char* sign, Budget& budget);
bool contains(const Value& container, const Value& element, Budget& budget);
int64_t size_of(const Value& value, Budget& budget);

/// sign: + - * / // % **
Value arithmetic(const Value& a, const std::string& sign, const Value& b, Budget& budget);
Value negated(const Value& value);

/// What a value is walked through by: the elements of a list are shared with it.
class Elements {
 public:
  Elements() : Elements(std::make_shared<const Values>(), 0, 1) {}
  Elements(std::shared_ptr<const Values> values, size_t first, int depth)
      : values_(std::move(values)), first_(first), depth_(depth) {}
  auto begin() const { return values_->begin() + static_cast<long>(first_); }
  auto end() const { return values_->end(); }
  size_t size() const { return values_->size() - first_; }
  bool empty() const { return size() == 0; }
  const Value& operator[](size_t index) const { return (*values_)[first_ + index]; }
  int depth() const { return depth_; }  // of a list that holds them

 private:
  std::shared_ptr<const Values> values_;
  size_t first_;
  int depth_;
};

/// What a for loop walks through; charges a step for each. A generator is used up by it.
Elements iterate(const Value& value, Budget& budget);

/// value[begin:end:step] of texts, lists and tuples; None stands for an omitted bound.
Value slice(const Value& value, const Value& begin, const Value& end, const Value& step, Budget& budget);

}  // namespace loraxs::jinja
