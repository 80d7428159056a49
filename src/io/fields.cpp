#include "io/fields.h"

#include <algorithm>
#include <cmath>

#include "io/error.h"
#include "io/mapped_file.h"

namespace loraxs {
namespace {

std::string shown(const nlohmann::json& value) {
  constexpr size_t kLongest = 60;
  return shortened(json_text(value), kLongest);
}

/// An integer as it stands; a float counts as one only where it is exact.
std::optional<int64_t> exact_integer(const nlohmann::json& value) {
  if (value.is_number_unsigned()) {
    const auto number = value.get<uint64_t>();
    return number <= INT64_MAX ? std::optional(static_cast<int64_t>(number)) : std::nullopt;
  }
  if (value.is_number_integer()) return value.get<int64_t>();
  constexpr double kExact = 9007199254740992;  // 2^53: above it neighbours share a float64
  if (!value.is_number_float()) return std::nullopt;
  const auto number = value.get<double>();
  return number == std::floor(number) && std::abs(number) <= kExact ? std::optional(static_cast<int64_t>(number))
                                                                    : std::nullopt;
}

/// A number that float64 holds as it stands.
std::optional<double> exact_number(const nlohmann::json& value) {
  if (value.is_number_float()) return value.get<double>();
  if (!value.is_number_integer()) return std::nullopt;
  const auto number = value.get<double>();
  constexpr double kBeyond = 18446744073709551616.0;  // 2^64
  const bool exact = value.is_number_unsigned()
                         ? number < kBeyond && static_cast<uint64_t>(number) == value.get<uint64_t>()
                         : number >= -kBeyond / 2 && static_cast<int64_t>(number) == value.get<int64_t>();
  return exact ? std::optional(number) : std::nullopt;
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

std::optional<std::string> nearest_name(const std::string& name, const std::vector<std::string>& known) {
  std::optional<std::string> best;
  size_t best_distance = std::max<size_t>(1, (name.size() + 2) / 3) + 1;
  constexpr size_t kLongestName = 64;  // work grows with the product of the lengths, and nobody mistypes longer ones
  if (name.size() > kLongestName) return best;
  for (const std::string& candidate : known) {
    if (candidate.size() > kLongestName) continue;
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

void Fields::refuse_empty(const std::string& key, const nlohmann::json& list) const {
  if (strict_ && list.is_array() && list.empty()) fail(key, "expected at least one in the list, found []");
}

const nlohmann::json* Fields::find(const std::string& key) {
  known_.insert(key);
  return peek(key);
}

const nlohmann::json* Fields::peek(const std::string& key) const {
  const auto found = object_.find(key);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

bool Fields::has(const std::string& key) const { return peek(key) != nullptr; }

std::vector<std::string> Fields::keys() const {
  std::vector<std::string> keys;
  for (const auto& [key, value] : object_.items()) keys.push_back(key);
  return keys;
}

std::vector<std::string> Fields::unread() const {
  std::vector<std::string> keys;
  for (const auto& [key, value] : object_.items()) {
    if (!value.is_null() && !known_.contains(key)) keys.push_back(key);
  }
  return keys;
}

bool Fields::is_null(const std::string& key) const {
  const auto found = object_.find(key);
  return found != object_.end() && found->is_null();
}

int64_t Fields::integer(const std::string& key, int64_t fallback) {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_number_integer()) fail(key, concat("expected an integer, found ", shown(*value)));
  const auto exact = exact_integer(*value);
  if (!exact) fail(key, concat("expected an integer below 2^63, found ", shown(*value)));
  return *exact;
}

int64_t Fields::integer_from(int64_t least, int64_t most, const std::string& key, int64_t fallback) {
  const int64_t value = integer(key, fallback);
  if (has(key) && (value < least || value > most)) {
    const std::string range = most == INT64_MAX ? concat("≥ ", least) : concat("from ", least, " to ", most);
    fail(key, concat("expected an integer ", range, ", found ", value));
  }
  return value;
}

int64_t Fields::positive_int(const std::string& key, int64_t fallback, int64_t most) {
  return integer_from(1, most, key, fallback);
}

int64_t Fields::non_negative_int(const std::string& key, int64_t fallback, int64_t most) {
  return integer_from(0, most, key, fallback);
}

double Fields::number(const std::string& key, double fallback) {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_number()) fail(key, concat("expected a number, found ", shown(*value)));
  const auto exact = exact_number(*value);
  if (!exact) fail(key, concat("expected a number that float64 holds, found ", shown(*value)));
  return *exact;
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
  refuse_empty(key, *value);
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
  if (!value->is_array() && !value->is_number()) {
    fail(key, concat("expected a number or a list of numbers, found ", shown(*value)));
  }
  refuse_empty(key, *value);
  const nlohmann::json list = value->is_array() ? *value : nlohmann::json::array({*value});
  std::vector<double> result;
  for (const auto& item : list) {
    if (!item.is_number()) fail(key, concat("expected numbers, found ", shown(item), " in the list"));
    const auto number = exact_number(item);
    if (!number) fail(key, concat("expected numbers that float64 holds, found ", shown(item)));
    result.push_back(*number);
  }
  return result;
}

std::vector<int64_t> Fields::integers(const std::string& key, const std::vector<int64_t>& fallback) {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_array() && !value->is_number()) {
    fail(key, concat("expected an integer or a list of integers, found ", shown(*value)));
  }
  refuse_empty(key, *value);
  const nlohmann::json list = value->is_array() ? *value : nlohmann::json::array({*value});
  std::vector<int64_t> result;
  for (const auto& item : list) {
    const auto integer = exact_integer(item);
    if (!integer) fail(key, concat("expected integers below 2^63, found ", shown(item)));
    result.push_back(*integer);
  }
  return result;
}

std::map<std::string, int64_t> Fields::counts(const std::string& key) {
  std::map<std::string, int64_t> result;
  const nlohmann::json* value = find(key);
  if (value == nullptr) return result;
  if (!value->is_object()) fail(key, concat("expected names with numbers, {NAME: 8}, found ", shown(*value)));
  for (const auto& [name, count] : value->items()) {
    const auto integer = exact_integer(count);
    if (!integer || *integer < 1) fail(key + "." + name, concat("expected an integer ≥ 1, found ", shown(count)));
    result[name] = *integer;
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
