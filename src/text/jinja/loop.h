// text/jinja/loop.h: the variable `loop` of a for block.
#pragma once
#include <memory>
#include <string>

#include "text/jinja/machine.h"
#include "text/jinja/operators.h"

namespace loraxs::jinja {

class For;

class Loop : public Object, public std::enable_shared_from_this<Loop> {
 public:
  /// `recursive`: the block that loop(…) runs again; null if it may not.
  Loop(Elements values, int64_t depth, const For* recursive);
  std::string type_name() const override { return "LoopContext"; }
  int depth() const override { return values_.depth(); }
  std::optional<Value> attribute(std::string_view name, Budget& budget) const override;
  bool callable() const override { return recursive_ != nullptr; }
  Value call(Machine& machine, Arguments arguments) override;

  void keep(const std::shared_ptr<Scope>& scope) { scope_ = scope; }
  int64_t size() const { return static_cast<int64_t>(values_.size()); }
  const Value& current() const { return values_[index]; }
  int64_t index = 0;
  std::optional<Values> last_changed;  // what loop.changed(…) was called with before

 private:
  const Elements values_;
  const int64_t depth_;
  const For* recursive_;
  std::weak_ptr<Scope> scope_;  // where the block stands; the machine keeps it
};

/// Sets an attribute of a namespace; names with an underscore in front are refused as transformers does.
void set_attribute(Namespace& space, const Text& name, Value value, Budget& budget);

}  // namespace loraxs::jinja
