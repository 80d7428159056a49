// text/jinja/text_form.h: values as texts: what {{ value }} prints, Python's repr, and JSON.
#pragma once
#include <optional>
#include <string>

#include "text/jinja/failure.h"
#include "text/jinja/value.h"

namespace loraxs::jinja {

std::string str(const Value& value, Budget& budget);
std::string repr(const Value& value, Budget& budget);
std::string float_repr(double value);

struct JsonStyle {
  bool ensure_ascii = false;
  std::optional<std::string> indent;  // one level
  std::string item_separator = ", ";
  std::string key_separator = ": ";
  bool sort_keys = false;
};

/// json.dumps. Throws Failure for values that JSON has no form for.
std::string to_json(const Value& value, const JsonStyle& style, Budget& budget);

}  // namespace loraxs::jinja
