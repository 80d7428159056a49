#include "text/jinja/value.h"

#include <algorithm>

#include "io/error.h"
#include "text/jinja/failure.h"

namespace loraxs::jinja {
namespace {

constexpr int kMaxValueDepth = 100;

bool same_key(const Value& a, const Value& b) {
  if (a.text() != nullptr || b.text() != nullptr) return a.text() && b.text() && *a.text() == *b.text();
  if (a.number() && b.number()) return *a.number() == *b.number();
  return a.is_none() && b.is_none();
}

int outer_depth(int depth, const Value& inner) {
  depth = std::max(depth, inner.depth() + 1);
  if (depth > kMaxValueDepth) {
    throw Failure(FailureKind::kLimit, concat("expected lists and dicts at most ", kMaxValueDepth, " deep"));
  }
  return depth;
}

}  // namespace

const Value* Mapping::find(const Value& key) const {
  for (const auto& [known, value] : entries) {
    if (same_key(known, key)) return &value;
  }
  return nullptr;
}

const Value* Mapping::find(const std::string& key) const {
  for (const auto& [known, value] : entries) {
    if (known.text() != nullptr && *known.text() == key) return &value;
  }
  return nullptr;
}

void Mapping::set(const Value& key, Value value) {
  if (key.text() == nullptr && !key.number() && !key.is_none()) {
    const bool hashable = key.items(Items::Kind::kTuple) != nullptr || key.object() != nullptr || key.is_undefined();
    throw Failure(hashable ? FailureKind::kUnsupported : FailureKind::kType,
                  concat("expected a string or number as a key, found '", key.type_name(), "'"));
  }
  depth = outer_depth(depth, value);
  for (auto& [known, held] : entries) {
    if (same_key(known, key)) {
      held = std::move(value);
      return;
    }
  }
  entries.emplace_back(key, std::move(value));
}

std::optional<Value> Object::attribute(const std::string&) const { return std::nullopt; }

Value Object::call(Machine&, Arguments) {  // NOLINT(performance-unnecessary-value-param): overrides keep them
  throw Failure(FailureKind::kType, concat("'", type_name(), "' object is not callable"));
}

std::optional<Value> Namespace::attribute(const std::string& name) const {
  const auto found = attributes.find(name);
  return found == attributes.end() ? std::nullopt : std::optional<Value>(found->second);
}

Value Value::items(Items::Kind kind, Values values, std::string form) {
  int depth = 1;
  for (const Value& value : values) depth = outer_depth(depth, value);
  return std::make_shared<Items>(Items{.kind = kind,
                                       .values = std::make_shared<const Values>(std::move(values)),
                                       .form = std::move(form),
                                       .depth = depth});
}

Value Value::from_json(const nlohmann::ordered_json& json) {
  switch (json.type()) {
    case nlohmann::json::value_t::boolean:
      return json.get<bool>();
    case nlohmann::json::value_t::number_integer:
      return json.get<int64_t>();
    case nlohmann::json::value_t::number_unsigned: {
      const auto number = json.get<uint64_t>();
      if (number > INT64_MAX) throw Failure(FailureKind::kUnsupported, concat("integer beyond 64 bits: ", number));
      return static_cast<int64_t>(number);
    }
    case nlohmann::json::value_t::number_float:
      return json.get<double>();
    case nlohmann::json::value_t::string:
      return json.get<std::string>();
    case nlohmann::json::value_t::array: {
      Values values;
      for (const auto& element : json) values.push_back(from_json(element));
      return list(std::move(values));
    }
    case nlohmann::json::value_t::object: {
      auto mapping = std::make_shared<Mapping>();
      for (const auto& [key, element] : json.items()) {
        mapping->entries.emplace_back(key, from_json(element));
        mapping->depth = outer_depth(mapping->depth, mapping->entries.back().second);
      }
      return mapping;
    }
    default:
      return None{};
  }
}

std::optional<int64_t> Value::integer() const {
  if (const auto* flag = get<bool>()) return *flag ? 1 : 0;
  if (const auto* number = get<int64_t>()) return *number;
  return std::nullopt;
}

std::optional<double> Value::number() const {
  if (const auto* number = get<double>()) return *number;
  if (const auto whole = integer()) return static_cast<double>(*whole);
  return std::nullopt;
}

int Value::depth() const {
  if (items() != nullptr) return items()->depth;
  if (mapping() != nullptr) return mapping()->depth;
  return object() != nullptr ? object()->depth() : 0;
}

std::string Value::type_name() const {
  if (is_undefined()) return "Undefined";
  if (is_none()) return "NoneType";
  if (get<bool>() != nullptr) return "bool";
  if (get<int64_t>() != nullptr) return "int";
  if (get<double>() != nullptr) return "float";
  if (text() != nullptr) return "str";
  if (mapping() != nullptr) return "dict";
  if (object() != nullptr) return object()->type_name();
  switch (items()->kind) {
    case Items::Kind::kList:
      return "list";
    case Items::Kind::kTuple:
      return "tuple";
    case Items::Kind::kRange:
      return "range";
    case Items::Kind::kView:
      return "dict_view";
    default:
      return "generator";
  }
}

}  // namespace loraxs::jinja
