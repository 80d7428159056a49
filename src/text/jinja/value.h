// text/jinja/value.h: the values a template computes with, as Python has them.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace loraxs::jinja {

class Value;
class Machine;
using Values = std::vector<Value>;

/// What a missing name or key gives: prints as nothing, is false, and most operations on it fail with `message`.
struct Undefined {
  std::string message;
  bool unsafe = false;  // an attribute that the sandbox hides: calling it is a security failure
};

struct None {};

/// A list, a tuple, or something that can only be walked through.
struct Items {
  enum class Kind { kList, kTuple, kRange, kView, kGenerator };
  Kind kind = Kind::kList;
  std::shared_ptr<const Values> values;
  size_t next = 0;   // generators: what was taken already
  std::string form;  // how a range, view or generator prints
  int depth = 1;     // levels of lists and dicts, this one included
};

/// A dict: entries in insertion order. Keys are strings, numbers, booleans or None.
struct Mapping {
  std::vector<std::pair<Value, Value>> entries;
  int depth = 1;
  const Value* find(const Value& key) const;
  const Value* find(const std::string& key) const;
  void set(const Value& key, Value value);
};

/// The arguments of a call.
struct Arguments {
  Values positional;
  std::vector<std::pair<std::string, Value>> named;
};

/// Anything with attributes of its own: namespaces, loop variables, macros, functions.
class Object {
 public:
  virtual ~Object() = default;
  virtual std::string type_name() const = 0;
  virtual std::optional<Value> attribute(const std::string& name) const;
  virtual int depth() const { return 0; }  // of the values it holds, unless the machine breaks their chain
  virtual bool callable() const { return false; }
  virtual Value call(Machine& machine, Arguments arguments);  // throws Failure unless callable
};

/// namespace(): the one object whose attributes a template can set.
class Namespace : public Object {
 public:
  std::map<std::string, Value> attributes;
  std::string type_name() const override { return "Namespace"; }
  std::optional<Value> attribute(const std::string& name) const override;
};

class Value {
 public:
  using Data = std::variant<Undefined, None, bool, int64_t, double, std::string, std::shared_ptr<Items>,
                            std::shared_ptr<Mapping>, std::shared_ptr<Object>>;

  Value() : data_(None{}) {}
  Value(Undefined value) : data_(std::move(value)) {}
  Value(None) : data_(None{}) {}
  Value(bool value) : data_(value) {}
  Value(int64_t value) : data_(value) {}
  Value(int value) : data_(static_cast<int64_t>(value)) {}
  Value(double value) : data_(value) {}
  Value(std::string value) : data_(std::move(value)) {}
  Value(const char* value) : data_(std::string(value)) {}
  Value(std::shared_ptr<Items> value) : data_(std::move(value)) {}
  Value(std::shared_ptr<Mapping> value) : data_(std::move(value)) {}
  Value(std::shared_ptr<Object> value) : data_(std::move(value)) {}

  static Value list(Values values) { return items(Items::Kind::kList, std::move(values)); }
  static Value tuple(Values values) { return items(Items::Kind::kTuple, std::move(values)); }
  static Value generator(Values values) { return items(Items::Kind::kGenerator, std::move(values), "<generator>"); }
  static Value items(Items::Kind kind, Values values, std::string form = "");
  /// JSON as the json module of Python reads it.
  static Value from_json(const nlohmann::ordered_json& json);

  template <typename T>
  const T* get() const {
    return std::get_if<T>(&data_);
  }
  bool is_undefined() const { return get<Undefined>() != nullptr; }
  bool is_none() const { return get<None>() != nullptr; }
  const std::string* text() const { return get<std::string>(); }
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

}  // namespace loraxs::jinja
