// serve/api/body.h: the fields of a request: one table reads them and describes them in /openapi.json.
#pragma once
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "io/fields.h"
#include "serve/api_error.h"

namespace loraxs {

enum class FieldKind : uint8_t {
  kText,
  kInteger,
  kNumber,
  kBoolean,
  kOther,    // its route reads it
  kIgnored,  // changes no answer
  kNeutral,  // only values that change nothing: what others ask for is not there
};

struct BodyField {
  const char* name;
  FieldKind kind;
  const char* help;
  double least = 0, most = 0;  // of numbers
  /// kOther: its JSON schema. kNeutral: the list of values that are accepted. kText: such a list, or any text.
  const char* json = "";
  bool required = false;
};
using BodyFields = std::vector<BodyField>;

BodyFields joined(BodyFields first, const BodyFields& second);

/// The JSON schema of an object with these fields, and no others.
nlohmann::ordered_json body_schema(const BodyFields& table);

/// A request's JSON: depth 64, 32 MB. Throws ApiError 400 with the place of a mistake.
nlohmann::json parse_body(const std::string& text);

/// An object whose fields are as its table says: of the type, within the range, none unknown. Null counts as absent.
class Body {
 public:
  /// Throws ApiError 400 with the field as its `param`. `prefix` is the place of the object: "messages[2]".
  Body(nlohmann::json object, const BodyFields& table, std::string prefix = "");

  bool has(const std::string& name) const { return fields_.has(name); }
  std::string text(const std::string& name, const std::string& fallback = "") { return fields_.text(name, fallback); }
  int64_t integer(const std::string& name, int64_t fallback) { return fields_.integer(name, fallback); }
  double number(const std::string& name, double fallback) { return fields_.number(name, fallback); }
  bool boolean(const std::string& name, bool fallback) { return fields_.boolean(name, fallback); }
  /// As it is; null if it is absent.
  const nlohmann::json& raw(const std::string& name) const;

  /// "messages[2].role"
  std::string path(const std::string& name) const;
  /// ApiError 400 "request: messages[2].role: …".
  [[noreturn]] void fail(const std::string& name, const std::string& problem) const;

 private:
  Fields fields_;
  std::string prefix_;
};

/// ApiError 400 "request: PARAM: …".
[[noreturn]] void refuse(const std::string& param, const std::string& problem);

/// A value within an error: its JSON, shortened.
std::string shown_value(const nlohmann::json& value);

}  // namespace loraxs
