#include "text/jinja/machine.h"

#include <algorithm>
#include <array>

#include "io/error.h"
#include "text/jinja/builtin.h"
#include "text/jinja/failure.h"
#include "text/jinja/operators.h"
#include "text/jinja/unicode.h"

namespace loraxs::jinja {
namespace {

/// text.upper before it is called.
class Method : public Object {
 public:
  Method(Value self, const Builtin& builtin) : self_(std::move(self)), builtin_(builtin) {}
  std::string type_name() const override { return "builtin_function_or_method"; }
  int depth() const override { return self_.depth() + 1; }
  bool callable() const override { return true; }
  Value call(Machine& machine, Arguments arguments) override {
    arguments.positional.insert(arguments.positional.begin(), self_);
    return builtin_.run(machine, bind(builtin_, std::move(arguments)));
  }

 private:
  Value self_;
  const Builtin& builtin_;
};

std::string object_name(const Value& value) { return value.is_none() ? "None" : "'" + value.type_name() + " object'"; }

/// Attributes that the sandbox of transformers hides: what changes a list or dict, and Python's own.
bool hidden(const Value& value, std::string_view name) {
  static constexpr std::array<std::string_view, 8> of_lists = {"append", "clear", "pop",    "reverse",
                                                               "insert", "sort",  "extend", "remove"};
  static constexpr std::array<std::string_view, 5> of_dicts = {"clear", "pop", "popitem", "setdefault", "update"};
  const auto among = [&](const auto& names) { return std::find(names.begin(), names.end(), name) != names.end(); };
  if (name.starts_with("__")) return true;
  if (value.mapping() != nullptr) return among(of_dicts);
  return value.items(Items::Kind::kList) != nullptr && among(of_lists);
}

std::optional<Value> own_attribute(const Value& value, std::string_view name, Budget& budget) {
  if (value.object() != nullptr) {
    if (auto found = value.object()->attribute(name, budget)) return found;
  }
  if (const Builtin* method = find_method(value, name)) {
    budget.object();
    return Value(std::shared_ptr<Object>(std::make_shared<Method>(value, *method)));
  }
  if (hidden(value, name)) {
    return Undefined{
        .message = "access to attribute " + in_quotes(name) + " of '" + value.type_name() + "' object is unsafe.",
        .unsafe = true};
  }
  return std::nullopt;
}

std::optional<Value> element(const Value& value, const Value& key, Budget& budget) {
  if (value.is_undefined()) fail_undefined(value);
  if (const Mapping* mapping = value.mapping()) {
    if (key.text() != nullptr) budget.read(key.text()->size());
    const Value* found = mapping->find(key);
    return found == nullptr ? std::nullopt : std::optional<Value>(*found);
  }
  const bool indexed =
      value.text() != nullptr || (value.items() != nullptr && value.items()->kind <= Items::Kind::kRange);
  if (!indexed || !key.integer()) return std::nullopt;
  const int64_t size = size_of(value, budget);
  const int64_t index = *key.integer() < 0 ? *key.integer() + size : *key.integer();
  if (index < 0 || index >= size) return std::nullopt;
  if (value.items() != nullptr) return (*value.items()->values)[index];
  const std::string& text = *value.text();
  const size_t at = byte_offset(text, index);
  budget.walk(at);
  budget.text(4);
  return Value(text.substr(at, char_bytes(text[at])));
}

Undefined no_attribute(const Value& value, std::string_view name) {
  return {object_name(value) + " has no attribute " + in_quotes(name)};
}

}  // namespace

Machine::Machine(const Limits& limits, const Mapping& context, std::function<std::tm()> now)
    : budget(limits), scope(std::make_shared<Scope>()), now_(std::move(now)) {
  scope->names = context;
  scope = std::make_shared<Scope>(Scope{.parent = scope});  // what the template sets stays apart from what it was given
}

Machine::~Machine() {
  for (const auto& kept : kept_scopes_) kept->names = {};
  for (const auto& kept : namespaces_) kept->attributes = {};
}

Value Machine::name(std::string_view name) {
  for (const Scope* at = scope.get(); at != nullptr; at = at->parent.get()) {
    budget.read(name.size() + 8);
    if (const Value* found = at->names.find_text(name)) return *found;
  }
  if (auto global = find_global(name)) {
    budget.object();
    return *global;
  }
  return Undefined{in_quotes(name) + " is undefined"};
}

void Machine::set_name(const Text& name, Value value) {
  budget.read(name->size());
  if (scope->names.set(name, std::move(value))) budget.entry(static_cast<int64_t>(scope->names.size()));
}

Value Machine::attribute(const Value& value, const Text& name) {
  if (value.is_undefined()) fail_undefined(value);
  if (auto found = own_attribute(value, *name, budget)) return *found;
  if (auto found = element(value, name, budget)) return *found;
  return no_attribute(value, *name);
}

Value Machine::item(const Value& value, const Value& key) {
  if (auto found = element(value, key, budget)) return *found;
  if (key.text() == nullptr) return Undefined{object_name(value) + " has no such element"};
  if (auto found = own_attribute(value, *key.text(), budget)) return *found;
  return no_attribute(value, *key.text());
}

Value Machine::call(const Value& callee, Arguments arguments) {
  const Budget::Level guard(budget);
  if (callee.is_undefined()) fail_undefined(callee);
  if (callee.object() == nullptr) {
    throw Failure(FailureKind::kType, concat("'", callee.type_name(), "' object is not callable"));
  }
  return callee.object()->call(*this, std::move(arguments));
}

Value Machine::filter(std::string_view name, Arguments arguments) {
  const Builtin* found = find_filter(name);
  if (found == nullptr) throw Failure(FailureKind::kSyntax, concat("No filter named ", in_quotes(name), "."));
  const Budget::Level guard(budget);
  return found->run(*this, bind(*found, std::move(arguments)));
}

bool Machine::test(std::string_view name, Arguments arguments) {
  const Builtin* found = find_test(name);
  if (found == nullptr) throw Failure(FailureKind::kSyntax, concat("No test named ", in_quotes(name), "."));
  const Budget::Level guard(budget);
  return truth(found->run(*this, bind(*found, std::move(arguments))));
}

void Machine::print(std::string_view text) {
  budget.grow(static_cast<int64_t>(out_->size()), static_cast<int64_t>(text.size()));
  *out_ += text;
}

void Machine::note_printed(const Value& element, size_t begin) {
  if (capturing() || element.mapping() == nullptr) return;
  const auto found = printed.find(element.mapping());
  if (found == printed.end()) return;
  auto& [first, last] = found->second;
  if (output.size() - begin > last - first) found->second = {begin, output.size()};
}

Text Machine::capture(const std::function<void()>& body) {
  std::string captured;
  budget.text(0);
  struct Restore {
    std::string*& out;
    std::string* before;
    ~Restore() { out = before; }
  } const restore{out_, out_};
  out_ = &captured;
  body();
  return captured;
}

std::shared_ptr<Scope> Machine::keep_scope() {
  if (kept_scopes_.empty() || kept_scopes_.back() != scope) {
    budget.object();
    kept_scopes_.push_back(scope);
  }
  return scope;
}

std::shared_ptr<Namespace> Machine::make_namespace() {
  budget.object();
  namespaces_.push_back(std::make_shared<Namespace>());
  return namespaces_.back();
}

}  // namespace loraxs::jinja
