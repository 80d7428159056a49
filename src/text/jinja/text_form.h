// text/jinja/text_form.h: values as texts: what {{ value }} prints, Python's repr, and JSON.
#pragma once
#include <optional>
#include <string>

#include "text/jinja/budget.h"
#include "text/jinja/value.h"

namespace loraxs::jinja {

Text str(const Value& value, Budget& budget);
Text repr(const Value& value, Budget& budget);
std::string float_repr(double value);

struct JsonStyle {
  bool ensure_ascii = false;
  std::optional<Text> indent;  // one level
  Text item_separator = ", ";
  Text key_separator = ": ";
  bool sort_keys = false;
};

/// json.dumps. Throws Failure for values that JSON has no form for.
Text to_json(const Value& value, const JsonStyle& style, Budget& budget);

}  // namespace loraxs::jinja
