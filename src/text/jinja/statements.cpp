#include "text/jinja/statements.h"

#include "io/error.h"
#include "text/jinja/loop.h"
#include "text/jinja/operators.h"
#include "text/jinja/text_form.h"

namespace loraxs::jinja {

Flow execute(const Block& block, Machine& machine) {
  for (const auto& statement : block) {
    if (const Flow flow = statement->execute(machine); flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

void Target::assign(Machine& machine, const Value& value) const {
  machine.line = line;
  if (tuple) {
    const Elements values = iterate(value, machine.budget);
    if (values.size() != parts.size()) {
      throw Failure(FailureKind::kValue, concat(values.size() < parts.size() ? "not enough" : "too many",
                                                " values to unpack (expected ", parts.size(), ")"));
    }
    for (size_t i = 0; i < parts.size(); ++i) parts[i].assign(machine, values[i]);
  } else if (attribute->empty()) {
    machine.set_name(name, value);
  } else {
    auto* space = dynamic_cast<Namespace*>(machine.name(*name).object());
    if (space == nullptr) throw Failure(FailureKind::kType, "cannot assign attribute on non-namespace object");
    set_attribute(*space, attribute, value, machine.budget);
  }
}

Flow Printed::run(Machine& machine) const {
  machine.print(text_);
  return Flow::kNext;
}

Flow Print::run(Machine& machine) const {
  machine.print(*str(value_->evaluate(machine), machine.budget));
  return Flow::kNext;
}

Flow If::run(Machine& machine) const {
  for (const Branch& branch : branches_) {
    if (!branch.condition || truth(branch.condition->evaluate(machine))) return jinja::execute(branch.body, machine);
  }
  return Flow::kNext;
}

Flow For::run(Machine& machine) const { return loop(machine, parts_.iterable->evaluate(machine), /*depth=*/1); }

Flow For::loop(Machine& machine, const Value& iterable, int64_t depth) const {
  Elements values = iterate(iterable, machine.budget);
  if (parts_.condition) {
    Values kept;
    machine.budget.list(static_cast<int64_t>(values.size()));
    for (const Value& value : values) {
      const bool keep = machine.in_scope([&] {
        parts_.target.assign(machine, value);
        return truth(parts_.condition->evaluate(machine));
      });
      if (keep) kept.push_back(value);
    }
    values = Elements(std::make_shared<const Values>(std::move(kept)), 0, values.depth());
  }
  if (values.empty()) return machine.in_scope([&] { return jinja::execute(parts_.otherwise, machine); });
  static const Text kName = "loop";
  const auto state = std::make_shared<Loop>(std::move(values), depth, parts_.recursive ? this : nullptr);
  struct Release {
    Loop& loop;
    ~Release() { loop.last_changed.reset(); }  // it may hold the loop itself
  } const release{*state};
  if (parts_.recursive) state->keep(machine.keep_scope());
  for (; state->index < state->size(); ++state->index) {
    const size_t begin = machine.output.size();
    const Flow flow = machine.in_scope([&] {
      machine.set_name(kName, std::shared_ptr<Object>(state));
      parts_.target.assign(machine, state->current());
      return jinja::execute(parts_.body, machine);
    });
    machine.note_printed(state->current(), begin);
    if (flow == Flow::kBreak) break;
  }
  return Flow::kNext;
}

Flow Set::run(Machine& machine) const {
  target_.assign(machine, value_->evaluate(machine));
  return Flow::kNext;
}

Flow Captured::run(Machine& machine) const {
  Flow flow = Flow::kNext;
  const Text printed =
      machine.capture([&] { flow = machine.in_scope([&] { return jinja::execute(body_, machine); }); });
  if (flow != Flow::kNext) return flow;
  const Value value = filter_ ? filter_->apply(machine, printed) : Value(printed);
  if (target_) {
    target_->assign(machine, value);
  } else {
    machine.print(*str(value, machine.budget));
  }
  return flow;
}

Flow With::run(Machine& machine) const {
  Values values;
  for (const auto& [target, node] : values_) values.push_back(node->evaluate(machine));
  return machine.in_scope([&] {
    for (size_t i = 0; i < values.size(); ++i) values_[i].first.assign(machine, values[i]);
    return jinja::execute(body_, machine);
  });
}

Flow Generation::run(Machine& machine) const {
  if (machine.capturing()) {
    throw Failure(FailureKind::kUnsupported, "{% generation %} inside a macro or a captured block");
  }
  const size_t begin = machine.output.size();
  machine.in_scope([&] { return jinja::execute(body_, machine); });
  machine.generated.emplace_back(begin, machine.output.size());
  return Flow::kNext;
}

}  // namespace loraxs::jinja
