// text/jinja/operators.h: Python's operators on template values; every Failure says what Python's exception says.
#pragma once
#include "text/jinja/failure.h"
#include "text/jinja/value.h"

namespace loraxs::jinja {

[[noreturn]] void fail_undefined(const Value& value);  // for a Value that is_undefined()

bool truth(const Value& value);
bool equal(const Value& a, const Value& b, Budget& budget);
/// -1, 0, 1. Throws where Python cannot order the two.
int compare(const Value& a, const Value& b, const char* sign, Budget& budget);
bool contains(const Value& container, const Value& element, Budget& budget);
int64_t size_of(const Value& value);

/// sign: + - * / // % **
Value arithmetic(const Value& a, const std::string& sign, const Value& b, Budget& budget);
Value negated(const Value& value);

/// What a for loop walks through. A generator is used up by it.
Values iterate(const Value& value, Budget& budget);

/// value[begin:end:step] of texts, lists and tuples; None stands for an omitted bound.
Value slice(const Value& value, const Value& begin, const Value& end, const Value& step, Budget& budget);

}  // namespace loraxs::jinja
