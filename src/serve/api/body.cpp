#include "serve/api/body.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "io/json.h"

namespace loraxs {
namespace {

const char* const kWhere = "request";

nlohmann::json value_list(const char* json) { return parse_json(json, "api table"); }

nlohmann::ordered_json number_or_integer(double value) {
  if (value == std::floor(value)) return static_cast<int64_t>(value);
  return value;
}

nlohmann::ordered_json field_schema(const BodyField& field) {
  nlohmann::ordered_json schema = nlohmann::ordered_json::object();
  const auto typed = [&](const char* type) {
    schema["type"] = field.required ? nlohmann::ordered_json(type) : nlohmann::ordered_json({type, "null"});
  };
  switch (field.kind) {
    case FieldKind::kText:
      typed("string");
      break;
    case FieldKind::kInteger:
      typed("integer");
      break;
    case FieldKind::kNumber:
      typed("number");
      break;
    case FieldKind::kBoolean:
      typed("boolean");
      break;
    case FieldKind::kOther:
      schema = parse_ordered_json(field.json, "api table");
      if (!field.required) schema = {{"anyOf", {std::move(schema), {{"type", "null"}}}}};
      break;
    case FieldKind::kIgnored:
    case FieldKind::kNeutral:
      break;
  }
  if (field.kind == FieldKind::kInteger || field.kind == FieldKind::kNumber) {
    schema["minimum"] = number_or_integer(field.least);
    schema["maximum"] = number_or_integer(field.most);
  }
  if (field.kind == FieldKind::kNeutral || (field.kind == FieldKind::kText && *field.json != '\0')) {
    schema["enum"] = parse_ordered_json(field.json, "api table");
    if (!field.required) schema["enum"].push_back(nullptr);
  }
  schema["description"] = field.help;
  return schema;
}

std::string unknown_field(const std::string& name, const BodyFields& table) {
  std::vector<std::string> known;
  known.reserve(table.size());
  for (const BodyField& field : table) known.emplace_back(field.name);
  if (const auto near = nearest_name(name, known)) return "unknown field; did you mean " + *near + "?";
  std::string list;
  for (const BodyField& field : table) {
    if (field.kind == FieldKind::kIgnored || field.kind == FieldKind::kNeutral) continue;
    list += (list.empty() ? "" : ", ") + std::string(field.name);
  }
  return "unknown field; known here: " + list;
}

}  // namespace

void refuse(const std::string& param, const std::string& problem) {
  throw ApiError(400, concat(kWhere, ": ", param, ": ", problem), param);
}

std::string shown_value(const nlohmann::json& value) {
  constexpr size_t kLongest = 60;
  return shortened(json_text(value), kLongest);
}

BodyFields joined(BodyFields first, const BodyFields& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

nlohmann::ordered_json body_schema(const BodyFields& table) {
  nlohmann::ordered_json properties = nlohmann::ordered_json::object();
  nlohmann::ordered_json required = nlohmann::ordered_json::array();
  for (const BodyField& field : table) {
    properties[field.name] = field_schema(field);
    if (field.required) required.push_back(field.name);
  }
  nlohmann::ordered_json schema = {{"type", "object"}, {"properties", std::move(properties)}};
  if (!required.empty()) schema["required"] = std::move(required);
  schema["additionalProperties"] = false;
  return schema;
}

nlohmann::json parse_body(const std::string& text) {
  constexpr size_t kMegabyte = size_t{1} << 20;
  const JsonLimits limits = {
      .depth = 64, .bytes = 32 * kMegabyte, .memory = 256 * kMegabyte, .keys = 10'000, .unique_keys = true};
  try {
    return parse_json(text, kWhere, limits);
  } catch (const Error& error) {
    throw ApiError(400, error.what());
  }
}

Body::Body(nlohmann::json object, const BodyFields& table, std::string prefix)
    : fields_(nlohmann::json::object(), kWhere), prefix_(std::move(prefix)) {
  if (!object.is_object()) {
    throw ApiError(
        400,
        concat(kWhere, ": ", prefix_, prefix_.empty() ? "" : ": ", "expected an object, found ", shown_value(object)),
        prefix_);
  }
  fields_ = Fields(std::move(object), kWhere, prefix_);
  for (const std::string& name : fields_.keys()) {
    const bool known = std::any_of(table.begin(), table.end(), [&](const BodyField& f) { return f.name == name; });
    if (!known) fail(name, unknown_field(name, table));
  }
  for (const BodyField& field : table) {
    const nlohmann::json* value = fields_.peek(field.name);
    if (value == nullptr) {
      if (field.required) fail(field.name, "expected a value, found none");
      continue;
    }
    try {
      switch (field.kind) {
        case FieldKind::kText:
          if (*field.json == '\0') {
            fields_.text(field.name, "");
          } else {
            fields_.choice(field.name, "", value_list(field.json).get<std::vector<std::string>>());
          }
          break;
        case FieldKind::kInteger:
        case FieldKind::kNumber: {
          const bool whole = field.kind == FieldKind::kInteger;
          const double found =
              whole ? static_cast<double>(fields_.integer(field.name, 0)) : fields_.number(field.name, 0);
          if (!(found >= field.least && found <= field.most)) {
            fail(field.name,
                 concat("expected ", whole ? "an integer" : "a number", " from ", number_or_integer(field.least),
                        " to ", number_or_integer(field.most), ", found ", shown_value(*value)));
          }
          break;
        }
        case FieldKind::kBoolean:
          fields_.boolean(field.name, false);
          break;
        case FieldKind::kNeutral: {
          const nlohmann::json accepted = value_list(field.json);
          if (std::find(accepted.begin(), accepted.end(), *value) == accepted.end()) {
            fail(field.name, concat("not supported here, found ", shown_value(*value), "; ", field.help));
          }
          break;
        }
        case FieldKind::kOther:
        case FieldKind::kIgnored:
          break;
      }
    } catch (const ApiError&) {
      throw;
    } catch (const Error& error) {
      throw ApiError(400, error.what(), path(field.name));
    }
  }
}

const nlohmann::json& Body::raw(const std::string& name) const {
  static const nlohmann::json kNull;
  const nlohmann::json* value = fields_.peek(name);
  return value == nullptr ? kNull : *value;
}

std::string Body::path(const std::string& name) const { return prefix_.empty() ? name : prefix_ + "." + name; }

void Body::fail(const std::string& name, const std::string& problem) const { refuse(path(name), problem); }

}  // namespace loraxs
