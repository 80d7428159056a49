#include "text/jinja/loop.h"

#include <algorithm>

#include "io/error.h"
#include "text/jinja/failure.h"
#include "text/jinja/statements.h"

namespace loraxs::jinja {
namespace {

/// loop.cycle and loop.changed.
class LoopMethod : public Object {
 public:
  LoopMethod(std::shared_ptr<Loop> loop, bool cycle) : loop_(std::move(loop)), cycle_(cycle) {}
  std::string type_name() const override { return "method"; }
  int depth() const override { return loop_->depth() + 1; }
  bool callable() const override { return true; }
  Value call(Machine& machine, Arguments arguments) override {
    const Values& values = arguments.positional;
    if (cycle_) {
      if (values.empty()) throw Failure(FailureKind::kType, "no items for cycling given");
      return values[loop_->index % static_cast<int64_t>(values.size())];
    }
    const auto same = [&](const Value& a, const Value& b) { return equal(a, b, machine.budget); };
    if (loop_->last_changed &&
        std::equal(values.begin(), values.end(), loop_->last_changed->begin(), loop_->last_changed->end(), same)) {
      return false;
    }
    machine.budget.list(static_cast<int64_t>(values.size()));
    loop_->last_changed = values;
    return true;
  }

 private:
  std::shared_ptr<Loop> loop_;
  const bool cycle_;
};

}  // namespace

Loop::Loop(Elements values, int64_t depth, const For* recursive)
    : values_(std::move(values)), depth_(depth), recursive_(recursive) {}

std::optional<Value> Loop::attribute(std::string_view name, Budget& budget) const {
  if (name == "index") return index + 1;
  if (name == "index0") return index;
  if (name == "revindex") return size() - index;
  if (name == "revindex0") return size() - index - 1;
  if (name == "first") return index == 0;
  if (name == "last") return index + 1 >= size();
  if (name == "length") return size();
  if (name == "depth") return depth_;
  if (name == "depth0") return depth_ - 1;
  if (name == "previtem") return index > 0 ? values_[index - 1] : Undefined{"there is no previous item"};
  if (name == "nextitem") return index + 1 < size() ? values_[index + 1] : Undefined{"there is no next item"};
  if (name == "cycle" || name == "changed") {
    budget.object();
    const auto self = std::const_pointer_cast<Loop>(shared_from_this());
    return Value(std::shared_ptr<Object>(std::make_shared<LoopMethod>(self, name == "cycle")));
  }
  return std::nullopt;
}

Value Loop::call(Machine& machine, Arguments arguments) {
  if (recursive_ == nullptr) {
    throw Failure(FailureKind::kType, "The loop must have the 'recursive' marker to be called recursively.");
  }
  if (arguments.positional.size() != 1) throw Failure(FailureKind::kType, "loop(…) takes one argument");
  return machine.capture([&] {
    machine.in_scope(scope_.lock(), [&] { return recursive_->loop(machine, arguments.positional[0], depth_ + 1); });
  });
}

void set_attribute(Namespace& space, const Text& name, Value value, Budget& budget) {
  if (name->starts_with('_')) {
    throw Failure(
        FailureKind::kSecurity,
        concat("Chat templates cannot store underscore-prefixed attributes on a namespace, found ", in_quotes(*name)));
  }
  if (space.attributes.set(name, std::move(value))) budget.entry(static_cast<int64_t>(space.attributes.size()));
}

}  // namespace loraxs::jinja
