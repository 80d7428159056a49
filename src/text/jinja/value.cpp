#include "text/jinja/value.h"

#include <algorithm>

#include "io/error.h"
#include "text/jinja/failure.h"
#include "text/jinja/unicode.h"

namespace loraxs::jinja {
namespace {

constexpr int kMaxValueDepth = 100;
constexpr size_t kMaxUnsorted = 8;  // entries of a dict that are looked through one by one

void check_depth(int depth) {
  if (depth > kMaxValueDepth) {
    throw Failure(FailureKind::kLimit, concat("expected lists and dicts at most ", kMaxValueDepth, " deep"));
  }
}

int key_rank(const Value& key) { return key.is_none() ? 0 : key.text() == nullptr ? 1 : 2; }

/// Holds every integer of 64 bits and every double exactly.
long double exact(const Value& number) {
  return number.integer() ? static_cast<long double>(*number.integer()) : *number.number();
}

bool less_number(long double a, long double b) { return a < b || (a != a && b == b); }  // NaN first: one order for all

bool less_text(std::string_view a, std::string_view b) { return a.size() != b.size() ? a.size() < b.size() : a < b; }

bool same_key(const Value& a, std::string_view b) { return a.text() != nullptr && *a.text() == b; }

bool same_key(const Value& a, const Value& b) {
  if (a.text() != nullptr && b.text() != nullptr) return *a.get<Text>() == *b.get<Text>();
  if (a.number() && b.number()) return exact(a) == exact(b);
  return a.is_none() && b.is_none();
}

bool can_be_key(const Value& value) { return value.text() != nullptr || value.number() || value.is_none(); }

}  // namespace

bool Mapping::Order::operator()(const Value& a, const Value& b) const {
  const int rank = key_rank(a);
  if (rank != key_rank(b)) return rank < key_rank(b);
  return rank == 2 ? less_text(*a.text(), *b.text()) : rank == 1 && less_number(exact(a), exact(b));
}

bool Mapping::Order::operator()(const Value& a, std::string_view b) const {
  return a.text() == nullptr || less_text(*a.text(), b);
}

bool Mapping::Order::operator()(std::string_view a, const Value& b) const {
  return b.text() != nullptr && less_text(a, *b.text());
}

template <typename Key>
size_t Mapping::position(const Key& key) const {
  if (!index_.empty()) {
    const auto found = index_.find(key);
    return found == index_.end() ? size() : found->second;
  }
  return std::find_if(entries_.begin(), entries_.end(), [&](const auto& e) { return same_key(e.first, key); }) -
         entries_.begin();
}

const Value* Mapping::find(const Value& key) const {
  const size_t at = can_be_key(key) ? position(key) : size();
  return at == size() ? nullptr : &entries_[at].second;
}

const Value* Mapping::find_text(std::string_view key) const {
  const size_t at = position(key);
  return at == size() ? nullptr : &entries_[at].second;
}

bool Mapping::set(const Value& key, Value value) {
  if (!can_be_key(key)) {
    const bool hashable = key.items(Items::Kind::kTuple) != nullptr || key.object() != nullptr || key.is_undefined();
    throw Failure(hashable ? FailureKind::kUnsupported : FailureKind::kType,
                  concat("expected a string or number as a key, found '", key.type_name(), "'"));
  }
  depth_ = std::max(depth_, value.depth() + 1);
  if (const size_t at = position(key); at != size()) {
    entries_[at].second = std::move(value);
    return false;
  }
  entries_.emplace_back(key, std::move(value));
  if (!index_.empty()) {
    index_.emplace(key, size() - 1);
  } else if (size() > kMaxUnsorted) {
    for (size_t i = 0; i < size(); ++i) index_.emplace(entries_[i].first, i);
  }
  return true;
}

std::optional<Value> Object::attribute(std::string_view, Budget&) const { return std::nullopt; }

Value Object::call(Machine&, Arguments) {  // NOLINT(performance-unnecessary-value-param): overrides keep them
  throw Failure(FailureKind::kType, concat("'", type_name(), "' object is not callable"));
}

std::optional<Value> Namespace::attribute(std::string_view name, Budget&) const {
  const Value* found = attributes.find_text(name);
  return found == nullptr ? std::nullopt : std::optional<Value>(*found);
}

Value Value::items(Items::Kind kind, Values values, std::string form) {
  int depth = 1;
  for (const Value& value : values) depth = std::max(depth, value.depth() + 1);
  check_depth(depth);
  return std::make_shared<Items>(Items{.kind = kind,
                                       .values = std::make_shared<const Values>(std::move(values)),
                                       .form = std::move(form),
                                       .depth = depth});
}

Value::Value(std::shared_ptr<Mapping> value) : data_(std::move(value)) { check_depth(mapping()->depth()); }

Value Value::from_json(const nlohmann::ordered_json& json, int levels_above) {
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
      return valid_text(json.get_ref<const std::string&>());
    case nlohmann::json::value_t::array: {
      check_depth(levels_above + 1);
      Values values;
      values.reserve(json.size());
      for (const auto& element : json) values.push_back(from_json(element, levels_above + 1));
      return list(std::move(values));
    }
    case nlohmann::json::value_t::object: {
      check_depth(levels_above + 1);
      auto mapping = std::make_shared<Mapping>();
      for (const auto& [key, element] : json.items()) {
        mapping->set(valid_text(key), from_json(element, levels_above + 1));
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
  if (mapping() != nullptr) return mapping()->depth();
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
