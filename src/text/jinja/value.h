// text/jinja/value.h: the values a template computes with, as Python has them.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace loraxs::jinja {

class Budget;
class Machine;
class Object;
class Value;
class Mapping;
using Values = std::vector<Value>;

/// An immutable text of valid UTF-8. Copies share its bytes.
class Text {
 public:
  Text(std::string text) : bytes_(std::make_shared<const std::string>(std::move(text))) {}
  Text(const char* text) : Text(std::string(text)) {}
  const std::string& operator*() const { return *bytes_; }
  const std::string* operator->() const { return bytes_.get(); }
  friend bool operator==(const Text& a, const Text& b) { return a.bytes_ == b.bytes_ || *a == *b; }
  friend bool operator==(const Text& a, std::string_view b) { return *a == b; }

 private:
  std::shared_ptr<const std::string> bytes_;
};

/// What a missing name or key gives: prints as nothing, is false, and most operations on it fail with `message`.
struct Undefined {
  Text message;
  bool unsafe = false;  // an attribute that the sandbox hides: calling it is a security failure
};

struct None {};

/// A list, a tuple, or something that can only be walked through.
struct Items {
  enum class Kind { kList, kTuple, kRange, kView, kGenerator };
  Kind kind = Kind::kList;
  std::shared_ptr<const Values> values;
  std::string form;  // how a range, view or generator prints
  size_t next = 0;   // generators: what was taken already
  int depth = 1;     // levels of lists and dicts, this one included
};

class Value {
 public:
  using Data = std::variant<Undefined, None, bool, int64_t, double, Text, std::shared_ptr<Items>,
                            std::shared_ptr<Mapping>, std::shared_ptr<Object>>;

  Value() : data_(None{}) {}
  Value(Undefined value) : data_(std::move(value)) {}
  Value(None) : data_(None{}) {}
  Value(bool value) : data_(value) {}
  Value(int64_t value) : data_(value) {}
  Value(int value) : data_(static_cast<int64_t>(value)) {}
  Value(double value) : data_(value) {}
  Value(Text value) : data_(std::move(value)) {}
  Value(std::string value) : data_(Text(std::move(value))) {}
  Value(const char* value) : data_(Text(value)) {}
  Value(std::shared_ptr<Items> value) : data_(std::move(value)) {}
  /// Throws Failure for a dict that is too deep.
  Value(std::shared_ptr<Mapping> value);
  Value(std::shared_ptr<Object> value) : data_(std::move(value)) {}

  static Value list(Values values) { return items(Items::Kind::kList, std::move(values)); }
  static Value tuple(Values values) { return items(Items::Kind::kTuple, std::move(values)); }
  static Value generator(Values values) { return items(Items::Kind::kGenerator, std::move(values), "<generator>"); }
  /// Throws Failure for values that make it too deep.
  static Value items(Items::Kind kind, Values values, std::string form = "");
  /// JSON as the json module of Python reads it; texts become valid UTF-8. Throws Failure for what is too deep.
  static Value from_json(const nlohmann::ordered_json& json, int levels_above = 0);

  template <typename T>
  const T* get() const {
    return std::get_if<T>(&data_);
  }
  bool is_undefined() const { return get<Undefined>() != nullptr; }
  bool is_none() const { return get<None>() != nullptr; }
  const std::string* text() const { return get<Text>() == nullptr ? nullptr : &**get<Text>(); }
  Items* items() const { return pointer<Items>(); }
  Items* items(Items::Kind kind) const { return items() != nullptr && items()->kind == kind ? items() : nullptr; }
  Mapping* mapping() const { return pointer<Mapping>(); }
  Object* object() const { return pointer<Object>(); }
  /// Integers and booleans, which Python counts among them.
  std::optional<int64_t> integer() const;
  std::optional<double> number() const;  // integer() or a float
  const Data& data() const { return data_; }

  /// "str", "int", "NoneType", …
  std::string type_name() const;
  /// Levels of lists and dicts inside: kept small so that no walk over a value overflows the stack.
  int depth() const;

 private:
  template <typename T>
  T* pointer() const {
    const auto* shared = get<std::shared_ptr<T>>();
    return shared == nullptr ? nullptr : shared->get();
  }
  Data data_;
};

/// A dict: entries in insertion order. Keys are strings, numbers, booleans or None. Many entries are found through a
/// search tree, whose time no choice of keys can drive up.
class Mapping {
 public:
  const std::vector<std::pair<Value, Value>>& entries() const { return entries_; }
  size_t size() const { return entries_.size(); }
  const Value* find(const Value& key) const;
  const Value* find_text(std::string_view key) const;
  /// Whether the key is new. Throws Failure for a key of another type.
  bool set(const Value& key, Value value);
  int depth() const { return depth_; }

 private:
  /// None, then numbers, then texts: short ones first, which rarely need to be read.
  struct Order {
    using is_transparent = void;
    bool operator()(const Value& a, const Value& b) const;
    bool operator()(const Value& a, std::string_view b) const;
    bool operator()(std::string_view a, const Value& b) const;
  };
  template <typename Key>
  size_t position(const Key& key) const;  // size(): none

  std::vector<std::pair<Value, Value>> entries_;
  std::map<Value, size_t, Order> index_;  // key to position; empty while there are few
  int depth_ = 1;
};

/// The arguments of a call.
struct Arguments {
  Values positional;
  std::vector<std::pair<Text, Value>> named;
};

/// Anything with attributes of its own: namespaces, loop variables, macros, functions.
class Object {
 public:
  virtual ~Object() = default;
  virtual std::string type_name() const = 0;
  virtual std::optional<Value> attribute(std::string_view name, Budget& budget) const;
  virtual int depth() const { return 0; }  // of the values it holds, unless the machine breaks their chain
  virtual bool callable() const { return false; }
  virtual Value call(Machine& machine, Arguments arguments);  // throws Failure unless callable
};

/// namespace(): the one object whose attributes a template can set.
class Namespace : public Object {
 public:
  Mapping attributes;
  std::string type_name() const override { return "Namespace"; }
  std::optional<Value> attribute(std::string_view name, Budget& budget) const override;
};

}  // namespace loraxs::jinja
