// text/jinja/machine.h: the state of one rendering: names, output, budget.
#pragma once
#include <ctime>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "text/jinja/budget.h"
#include "text/jinja/value.h"

namespace loraxs::jinja {

/// Names set in one block; blocks inside see them.
struct Scope {
  std::shared_ptr<Scope> parent;
  Mapping names;
};

class Machine {
 public:
  Machine(const Limits& limits, const Mapping& context, std::function<std::tm()> now);
  ~Machine();
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  Value name(std::string_view name);
  void set_name(const Text& name, Value value);           // in the innermost scope
  Value attribute(const Value& value, const Text& name);  // value.name: methods before keys
  Value item(const Value& value, const Value& key);       // value[key]: keys before methods
  Value call(const Value& callee, Arguments arguments);
  Value filter(std::string_view name, Arguments arguments);  // the filtered value is the first argument
  bool test(std::string_view name, Arguments arguments);

  void print(std::string_view text);
  /// What `body` prints, instead of printing it.
  Text capture(const std::function<void()>& body);
  bool capturing() const { return out_ != &output; }
  /// A loop stood at `element` while the output grew from `begin` on.
  void note_printed(const Value& element, size_t begin);

  /// Runs `body` with names of its own.
  template <typename Body>
  auto in_scope(std::shared_ptr<Scope> parent, Body body) {
    const std::shared_ptr<Scope> outer = scope;
    struct Restore {
      Machine& machine;
      const std::shared_ptr<Scope>& outer;
      ~Restore() { machine.scope = outer; }
    } const restore{*this, outer};
    scope = std::make_shared<Scope>(Scope{.parent = std::move(parent)});
    return body();
  }
  template <typename Body>
  auto in_scope(Body body) {
    return in_scope(scope, body);
  }

  /// The scope as a macro keeps it, and an object whose attributes can form a ring: both are emptied at the end.
  std::shared_ptr<Scope> keep_scope();
  std::shared_ptr<Namespace> make_namespace();

  std::tm now() const { return now_(); }

  Budget budget;
  int line = 1;  // of the template, for errors
  std::shared_ptr<Scope> scope;
  std::string output;
  std::vector<std::pair<size_t, size_t>> generated;  // {% generation %} blocks: first byte and one past the last
  std::unordered_map<const Mapping*, std::pair<size_t, size_t>> printed;  // of the dicts that are followed

 private:
  std::string* out_ = &output;
  std::function<std::tm()> now_;
  std::vector<std::shared_ptr<Scope>> kept_scopes_;
  std::vector<std::shared_ptr<Namespace>> namespaces_;
};

}  // namespace loraxs::jinja
