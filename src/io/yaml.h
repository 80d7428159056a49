// io/yaml.h: YAML that comes from outside, as JSON values and within bounds.
#pragma once
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

namespace loraxs {

/// The first document. Plain scalars become null, booleans, integers, floating-point numbers or strings by the core
/// schema; quoted scalars stay strings. Throws Error "WHERE:LINE: …" for what is no YAML or no UTF-8, a key that stands
/// twice or is no scalar, and beyond 1 MB of text, 100 levels or 100,000 values, those that aliases repeat included; an
/// anchor that contains itself is an error.
nlohmann::json parse_yaml(const std::string& text, const std::string& where);
nlohmann::json read_yaml(const std::filesystem::path& path);

/// A text as a YAML scalar that every reader takes for this text: quoted wherever a plain one could be a number, null,
/// a boolean, a date or syntax ("123", "~", "no", "2024-01-01").
std::string yaml_scalar(const std::string& text);

/// A value on one line, "{name: qnli, data: data/qnli}": of an object `name` first, the other keys in their order.
std::string yaml_flow(const nlohmann::json& value);

}  // namespace loraxs
