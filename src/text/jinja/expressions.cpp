#include "text/jinja/expressions.h"

#include "io/error.h"
#include "text/jinja/operators.h"
#include "text/jinja/text_builder.h"
#include "text/jinja/text_form.h"

namespace loraxs::jinja {

Arguments CallArguments::evaluate(Machine& machine) const {
  Arguments arguments;
  for (const Node& node : positional) arguments.positional.push_back(node->evaluate(machine));
  for (const auto& [name, node] : named) arguments.named.emplace_back(name, node->evaluate(machine));
  if (more) {
    const Elements values = iterate(more->evaluate(machine), machine.budget);
    machine.budget.list(static_cast<int64_t>(values.size()));
    arguments.positional.insert(arguments.positional.end(), values.begin(), values.end());
  }
  if (more_named) {
    const Value value = more_named->evaluate(machine);
    if (value.mapping() == nullptr) {
      throw Failure(FailureKind::kType, concat("argument after ** must be a mapping, not ", value.type_name()));
    }
    machine.budget.list(2 * static_cast<int64_t>(value.mapping()->size()));
    for (const auto& [key, each] : value.mapping()->entries()) {
      if (key.text() == nullptr) throw Failure(FailureKind::kType, "keywords must be strings");
      arguments.named.emplace_back(*key.get<Text>(), each);
    }
  }
  return arguments;
}

Value Collection::compute(Machine& machine) const {
  machine.budget.list(static_cast<int64_t>(parts.size()));
  Values values;
  values.reserve(parts.size());
  for (const Node& part : parts) values.push_back(part->evaluate(machine));
  return Value::items(kind, std::move(values));
}

Value Dictionary::compute(Machine& machine) const {
  machine.budget.object();
  auto mapping = std::make_shared<Mapping>();
  for (const auto& [key, value] : entries_) {
    const Value name = key->evaluate(machine);
    machine.budget.entry(static_cast<int64_t>(mapping->size()));
    if (name.text() != nullptr) machine.budget.read(name.text()->size());
    mapping->set(name, value->evaluate(machine));
  }
  return mapping;
}

Value Attribute::compute(Machine& machine) const {
  const Value value = value_->evaluate(machine);
  machine.line = line_;
  return machine.attribute(value, name_);
}

Value Subscript::compute(Machine& machine) const {
  const Value value = value_->evaluate(machine), key = key_->evaluate(machine);
  machine.line = line_;
  return machine.item(value, key);
}

Value Slice::compute(Machine& machine) const {
  const auto bound = [&](const Node& node) { return node ? node->evaluate(machine) : Value(); };
  const Value value = value_->evaluate(machine), begin = bound(begin_), end = bound(end_), step = bound(step_);
  machine.line = line_;
  return slice(value, begin, end, step, machine.budget);
}

Value Call::call(Machine& machine, std::vector<std::pair<Text, Value>> named) const {
  const Value callee = callee_->evaluate(machine);
  Arguments arguments = arguments_.evaluate(machine);
  for (auto& each : named) arguments.named.push_back(std::move(each));
  machine.line = line_;
  Value result = machine.call(callee, std::move(arguments));
  machine.line = line_;
  return result;
}

Value Application::apply(Machine& machine, const Text& printed) const {
  const Budget::Level guard(machine.budget);  // chains call themselves without evaluate()
  Value value = printed;
  if (const auto* inner = dynamic_cast<const Application*>(value_.get())) {
    value = inner->apply(machine, printed);
  } else if (value_) {
    value = value_->evaluate(machine);
  }
  Arguments arguments = arguments_.evaluate(machine);
  arguments.positional.insert(arguments.positional.begin(), std::move(value));
  machine.line = line_;
  if (kind_ == Kind::kTest) return machine.test(name_, std::move(arguments));
  return machine.filter(name_, std::move(arguments));
}

Value Unary::compute(Machine& machine) const {
  const Value value = value_->evaluate(machine);
  machine.line = line_;
  if (sign_ == "not") return !truth(value);
  return sign_ == "-" ? negated(value) : negated(negated(value));
}

Value Binary::compute(Machine& machine) const {
  Value left = left_->evaluate(machine);
  if (sign_ == "and") return truth(left) ? right_->evaluate(machine) : left;
  if (sign_ == "or") return truth(left) ? left : right_->evaluate(machine);
  const Value right = right_->evaluate(machine);
  machine.line = line_;
  return arithmetic(left, sign_, right, machine.budget);
}

Value Concatenation::compute(Machine& machine) const {
  TextBuilder text(machine.budget);
  for (const Node& part : parts_) text.append(*str(part->evaluate(machine), machine.budget));
  return text.take();
}

bool compare_values(const Value& a, const std::string& sign, const Value& b, Budget& budget) {
  if (sign == "==") return equal(a, b, budget);
  if (sign == "!=") return !equal(a, b, budget);
  if (sign == "in") return contains(b, a, budget);
  if (sign == "not in") return !contains(b, a, budget);
  const int order = compare(a, b, sign.c_str(), budget);
  if (sign == "<") return order < 0;
  if (sign == "<=") return order <= 0;
  return sign == ">" ? order > 0 : order >= 0;
}

Value Comparison::compute(Machine& machine) const {
  Value left = first_->evaluate(machine);
  for (const auto& [sign, node] : rest_) {
    Value right = node->evaluate(machine);
    machine.line = line_;
    if (!compare_values(left, sign, right, machine.budget)) return false;
    left = std::move(right);
  }
  return true;
}

Value Conditional::compute(Machine& machine) const {
  if (truth(condition_->evaluate(machine))) return yes_->evaluate(machine);
  if (no_) return no_->evaluate(machine);
  return Undefined{"the inline if-expression evaluated to false and no else section was defined."};
}

}  // namespace loraxs::jinja
