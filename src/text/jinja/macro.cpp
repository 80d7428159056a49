#include "text/jinja/macro.h"

#include <algorithm>

#include "io/error.h"
#include "text/jinja/failure.h"
#include "text/jinja/operators.h"
#include "text/jinja/text_form.h"

namespace loraxs::jinja {
namespace {

class MacroObject : public Object {
 public:
  MacroObject(const MacroParts& parts, const std::shared_ptr<Scope>& scope) : parts_(parts), scope_(scope) {}
  std::string type_name() const override { return "Macro"; }
  bool callable() const override { return true; }

  std::optional<Value> attribute(std::string_view name, Budget& budget) const override {
    if (name == "name") return parts_.name;
    if (name == "caller") return parts_.uses_caller;
    if (name == "catch_varargs") return parts_.uses_varargs;
    if (name == "catch_kwargs") return parts_.uses_kwargs;
    if (name != "arguments") return std::nullopt;
    Values names;
    budget.list(static_cast<int64_t>(parts_.parameters.size()));
    for (const auto& [parameter, ignored] : parts_.parameters) names.emplace_back(parameter);
    return Value::tuple(std::move(names));
  }

  Value call(Machine& machine, Arguments arguments) override {
    return machine.capture([&] {
      machine.in_scope(scope_.lock(), [&] {
        bind(machine, std::move(arguments));
        execute(parts_.body, machine);
      });
    });
  }

 private:
  void bind(Machine& machine, Arguments arguments) const;

  const MacroParts& parts_;     // the syntax tree outlives the rendering
  std::weak_ptr<Scope> scope_;  // where the macro stands; the machine keeps it
};

void MacroObject::bind(Machine& machine, Arguments arguments) const {
  const auto set_from_named = [&](const Text& name) {
    machine.budget.step(static_cast<int64_t>(arguments.named.size()));
    const auto found = std::find_if(arguments.named.begin(), arguments.named.end(),
                                    [&](const auto& each) { return each.first == name; });
    if (found == arguments.named.end()) return false;
    machine.set_name(name, std::move(found->second));
    arguments.named.erase(found);
    return true;
  };
  const size_t count = parts_.parameters.size(), given = arguments.positional.size();
  if (parts_.uses_caller) {
    set_from_named("caller");
    const Value* caller = machine.scope->names.find_text("caller");
    if (caller == nullptr || caller->is_none()) machine.set_name("caller", Undefined{"No caller defined"});
  }
  for (size_t i = 0; i < count; ++i) {
    const auto& [name, fallback] = parts_.parameters[i];
    if (i < given) {
      machine.set_name(name, arguments.positional[i]);
    } else if (!set_from_named(name)) {
      machine.set_name(name, fallback ? fallback->evaluate(machine)
                                      : Undefined{"parameter " + in_quotes(*name) + " was not provided"});
    }
  }
  if (parts_.uses_kwargs) {
    auto rest = std::make_shared<Mapping>();
    for (auto& [name, value] : arguments.named) {
      machine.budget.entry(static_cast<int64_t>(rest->size()));
      rest->set(name, std::move(value));
    }
    machine.set_name("kwargs", rest);
  } else if (!arguments.named.empty()) {
    throw Failure(FailureKind::kType, concat("macro ", in_quotes(*parts_.name), " takes no keyword argument ",
                                             in_quotes(*arguments.named.front().first)));
  }
  Values rest(arguments.positional.begin() + static_cast<int64_t>(std::min(count, given)), arguments.positional.end());
  if (parts_.uses_varargs) {
    machine.budget.list(static_cast<int64_t>(rest.size()));
    machine.set_name("varargs", Value::tuple(std::move(rest)));
  } else if (!rest.empty()) {
    throw Failure(FailureKind::kType,
                  concat("macro ", in_quotes(*parts_.name), " takes not more than ", count, " argument(s)"));
  }
}

Value macro_value(Machine& machine, const MacroParts& parts) {
  machine.budget.object();
  return std::shared_ptr<Object>(std::make_shared<MacroObject>(parts, machine.keep_scope()));
}

}  // namespace

Flow Macro::run(Machine& machine) const {
  machine.set_name(parts_.name, macro_value(machine, parts_));
  return Flow::kNext;
}

Flow CallBlock::run(Machine& machine) const {
  std::vector<std::pair<Text, Value>> named;
  named.emplace_back("caller", macro_value(machine, body_));
  machine.print(*str(call_->call(machine, std::move(named)), machine.budget));
  return Flow::kNext;
}

}  // namespace loraxs::jinja
