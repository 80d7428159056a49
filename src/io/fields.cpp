#include "io/fields.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "io/error.h"
#include "io/mapped_file.h"

namespace loraxs {
namespace {

std::string shown(const nlohmann::json& value) {
  constexpr size_t kLongest = 60;
  return shortened(json_text(value), kLongest);
}

/// A plain YAML scalar by the core schema.
nlohmann::json scalar_value(const std::string& text) {
  if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL") return nullptr;
  if (text == "true" || text == "True" || text == "TRUE") return true;
  if (text == "false" || text == "False" || text == "FALSE") return false;
  const char *begin = text.data() + (text[0] == '+' ? 1 : 0), *end = text.data() + text.size();
  int64_t integer = 0;
  if (auto [at, code] = std::from_chars(begin, end, integer); code == std::errc() && at == end) return integer;
  double number = 0;
  const bool numeric = std::isdigit(static_cast<unsigned char>(*begin)) || *begin == '-' || *begin == '.';
  if (auto [at, code] = std::from_chars(begin, end, number); numeric && code == std::errc() && at == end) return number;
  return text;
}

nlohmann::json to_json(const YAML::Node& node, const std::string& where) {
  switch (node.Type()) {
    case YAML::NodeType::Scalar:
      return node.Tag() == "!" ? nlohmann::json(node.Scalar()) : scalar_value(node.Scalar());
    case YAML::NodeType::Sequence: {
      nlohmann::json list = nlohmann::json::array();
      for (const YAML::Node& item : node) list.push_back(to_json(item, where));
      return list;
    }
    case YAML::NodeType::Map: {
      nlohmann::json object = nlohmann::json::object();
      for (const auto& item : node) {
        const std::string key = item.first.Scalar();
        if (object.contains(key)) {
          throw Error(concat(where, ":", item.first.Mark().line + 1, ": ", key, " stands twice in one object"));
        }
        object[key] = to_json(item.second, where);
      }
      return object;
    }
    default:
      return nullptr;
  }
}

/// Edit distance with transpositions of neighbours (optimal string alignment).
size_t edit_distance(const std::string& x, const std::string& y) {
  std::vector<std::vector<size_t>> d(x.size() + 1, std::vector<size_t>(y.size() + 1));
  for (size_t i = 0; i <= x.size(); ++i) {
    for (size_t j = 0; j <= y.size(); ++j) {
      if (i == 0 || j == 0) {
        d[i][j] = i + j;
        continue;
      }
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (x[i - 1] == y[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && x[i - 1] == y[j - 2] && x[i - 2] == y[j - 1])
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  }
  return d[x.size()][y.size()];
}

}  // namespace

nlohmann::json parse_yaml(const std::string& text, const std::string& where) {
  try {
    return to_json(YAML::Load(text), where);
  } catch (const YAML::Exception& error) {
    throw Error(concat(where, ":", error.mark.line + 1, ": expected YAML, found something else (", error.msg, ")"));
  }
}

nlohmann::json read_yaml(const std::filesystem::path& path) {
  return parse_yaml(std::string(MappedFile::open(path)->text()), path.string());
}

std::optional<std::string> nearest_name(const std::string& name, const std::vector<std::string>& known) {
  std::optional<std::string> best;
  size_t best_distance = std::max<size_t>(1, (name.size() + 2) / 3) + 1;
  for (const std::string& candidate : known) {
    const size_t distance = edit_distance(name, candidate);
    if (distance < best_distance) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

Fields::Fields(nlohmann::json object, std::string where, std::string prefix)
    : object_(std::move(object)), where_(std::move(where)), prefix_(std::move(prefix)) {
  if (object_.is_null()) object_ = nlohmann::json::object();
  if (!object_.is_object()) {
    throw Error(
        concat(where_, ": ", prefix_, prefix_.empty() ? "" : ": ", "expected an object, found ", shown(object_)));
  }
}

void Fields::fail(const std::string& key, const std::string& message) const {
  throw Error(concat(where_, ": ", prefix_, prefix_.empty() ? "" : ".", key, ": ", message));
}

const nlohmann::json* Fields::find(const std::string& key) {
  known_.insert(key);
  const auto found = object_.find(key);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

bool Fields::has(const std::string& key) const {
  const auto found = object_.find(key);
  return found != object_.end() && !found->is_null();
}

bool Fields::is_null(const std::string& key) const {
  const auto found = object_.find(key);
  return found != object_.end() && found->is_null();
}

int64_t Fields::integer(const std::string& key, int64_t fallback) {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_number_integer()) fail(key, concat("expected an integer, found ", shown(*value)));
  return value->get<int64_t>();
}

int64_t Fields::positive_int(const std::string& key, int64_t fallback) {
  const int64_t value = integer(key, fallback);
  if (has(key) && value < 1) fail(key, concat("expected an integer ≥ 1, found ", value));
  return value;
}

int64_t Fields::non_negative_int(const std::string& key, int64_t fallback) {
  const int64_t value = integer(key, fallback);
  if (has(key) && value < 0) fail(key, concat("expected an integer ≥ 0, found ", value));
  return value;
}

double Fields::number(const std::string& key, double fallback) {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_number()) fail(key, concat("expected a number, found ", shown(*value)));
  return value->get<double>();
}

double Fields::positive_number(const std::string& key, double fallback) {
  const double value = number(key, fallback);
  if (has(key) && !(value > 0 && std::isfinite(value))) fail(key, concat("expected a number > 0, found ", value));
  return value;
}

double Fields::non_negative_number(const std::string& key, double fallback) {
  const double value = number(key, fallback);
  if (has(key) && !(value >= 0 && std::isfinite(value))) fail(key, concat("expected a number ≥ 0, found ", value));
  return value;
}

double Fields::fraction(const std::string& key, double fallback) {
  const double value = number(key, fallback);
  if (has(key) && !(value >= 0 && value <= 1)) fail(key, concat("expected a number from 0 to 1, found ", value));
  return value;
}

bool Fields::boolean(const std::string& key, bool fallback) {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) fail(key, concat("expected true or false, found ", shown(*value)));
  return value->get<bool>();
}

std::string Fields::text(const std::string& key, const std::string& fallback) {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_string()) fail(key, concat("expected text, found ", shown(*value)));
  return value->get<std::string>();
}

std::string Fields::choice(const std::string& key, const std::string& fallback,
                           const std::vector<std::string>& allowed) {
  const std::string value = text(key, fallback);
  if (!has(key) || std::find(allowed.begin(), allowed.end(), value) != allowed.end()) return value;
  std::string list;
  for (const std::string& name : allowed) list += (list.empty() ? "" : ", ") + name;
  const auto near = nearest_name(value, allowed);
  fail(key, concat("expected one of ", list, ", found \"", value, "\"", near ? "; did you mean " + *near + "?" : ""));
}

std::vector<std::string> Fields::strings(const std::string& key, const std::vector<std::string>& fallback) {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return fallback;
  if (value->is_string()) return {value->get<std::string>()};
  if (!value->is_array()) fail(key, concat("expected a list of names, found ", shown(*value)));
  std::vector<std::string> result;
  for (const auto& item : *value) {
    if (item.is_number_integer()) {
      result.push_back(item.dump());  // labels such as 0 and 1
    } else if (item.is_string()) {
      result.push_back(item.get<std::string>());
    } else {
      fail(key, concat("expected a list of names, found ", shown(item), " in it"));
    }
  }
  return result;
}

std::vector<double> Fields::numbers(const std::string& key, const std::vector<double>& fallback) {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return fallback;
  if (value->is_number()) return {value->get<double>()};
  if (!value->is_array() || value->empty())
    fail(key, concat("expected a number or a list of numbers, found ", shown(*value)));
  std::vector<double> result;
  for (const auto& item : *value) {
    if (!item.is_number()) fail(key, concat("expected numbers, found ", shown(item), " in the list"));
    result.push_back(item.get<double>());
  }
  return result;
}

std::vector<int64_t> Fields::integers(const std::string& key, const std::vector<int64_t>& fallback) {
  std::vector<int64_t> result;
  if (const nlohmann::json* value = find(key); value != nullptr && value->is_array() && value->empty()) return result;
  for (const double value : numbers(key, std::vector<double>(fallback.begin(), fallback.end()))) {
    if (value != std::floor(value)) fail(key, concat("expected integers, found ", value));
    result.push_back(static_cast<int64_t>(value));
  }
  return result;
}

std::map<std::string, int64_t> Fields::counts(const std::string& key) {
  std::map<std::string, int64_t> result;
  const nlohmann::json* value = find(key);
  if (value == nullptr) return result;
  if (!value->is_object()) fail(key, concat("expected names with numbers, {NAME: 8}, found ", shown(*value)));
  for (const auto& [name, count] : value->items()) {
    if (!count.is_number_integer() || count.get<int64_t>() < 1) {
      fail(key + "." + name, concat("expected an integer ≥ 1, found ", shown(count)));
    }
    result[name] = count.get<int64_t>();
  }
  return result;
}

Fields Fields::object(const std::string& key) {
  const nlohmann::json* value = find(key);
  return Fields(value == nullptr ? nlohmann::json::object() : *value, where_,
                prefix_.empty() ? key : prefix_ + "." + key);
}

nlohmann::json Fields::raw(const std::string& key) {
  const nlohmann::json* value = find(key);
  return value == nullptr ? nlohmann::json() : *value;
}

void Fields::alias(const std::string& alias, const std::string& key) { aliases_[alias] = key; }

void Fields::finish() const {
  if (!strict_) return;
  for (const auto& [key, value] : object_.items()) {
    if (known_.contains(key)) continue;
    if (const auto other = aliases_.find(key); other != aliases_.end()) {
      fail(key, concat("unknown key; here it is called ", other->second));
    }
    const std::vector<std::string> known(known_.begin(), known_.end());
    const auto near = nearest_name(key, known);
    std::string list;
    for (const std::string& name : known) list += (list.empty() ? "" : ", ") + name;
    fail(key, concat("unknown key", near ? "; did you mean " + *near + "?" : "; known here: " + list));
  }
}

}  // namespace loraxs
