// Functions every template may call: range, dict, namespace, and those of transformers.
#include <algorithm>
#include <array>
#include <ctime>

#include "io/error.h"
#include "text/jinja/builtin.h"
#include "text/jinja/loop.h"
#include "text/jinja/machine.h"
#include "text/jinja/operators.h"
#include "text/jinja/text_form.h"

namespace loraxs::jinja {
namespace {

constexpr uint64_t kMaxRange = 100'000;  // jinja2/sandbox.py
constexpr size_t kMaxMessage = 240;      // bytes of what a template refuses with
constexpr size_t kMaxTimeFormat = 1000;

class Function : public Object {
 public:
  explicit Function(const Builtin& builtin) : builtin_(builtin) {}
  std::string type_name() const override { return "function"; }
  bool callable() const override { return true; }
  Value call(Machine& machine, Arguments arguments) override {
    return builtin_.run(machine, bind(builtin_, std::move(arguments)));
  }

 private:
  const Builtin& builtin_;
};

Value range(Machine& machine, const Bound& bound) {
  const int64_t begin = bound.has(1) ? bound.integer(0, 0) : 0;
  const int64_t end = bound.has(1) ? bound.integer(1, 0) : bound.integer(0, 0), step = bound.integer(2, 1);
  if (step == 0) throw Failure(FailureKind::kValue, "range() arg 3 must not be zero");
  const bool up = step > 0;
  const uint64_t width = up ? static_cast<uint64_t>(step) : 0 - static_cast<uint64_t>(step);
  const uint64_t distance = up ? static_cast<uint64_t>(end) - static_cast<uint64_t>(begin)
                               : static_cast<uint64_t>(begin) - static_cast<uint64_t>(end);
  const uint64_t count = (up ? begin >= end : begin <= end) ? 0 : (distance - 1) / width + 1;
  if (count > kMaxRange) {
    throw Failure(FailureKind::kValue, concat("Range too big. The sandbox blocks ranges larger than ", kMaxRange));
  }
  machine.budget.list(static_cast<int64_t>(count));
  Values values;
  values.reserve(count);
  for (uint64_t i = 0; i < count; ++i)
    values.emplace_back(static_cast<int64_t>(static_cast<uint64_t>(begin) + i * static_cast<uint64_t>(step)));
  std::string form = concat("range(", begin, ", ", end, step == 1 ? "" : concat(", ", step), ")");
  return Value::items(Items::Kind::kRange, std::move(values), std::move(form));
}

/// dict(pairs or a dict, name=value …), whose entries also start a namespace.
std::shared_ptr<Mapping> make_dict(Machine& machine, const Arguments& arguments) {
  auto mapping = std::make_shared<Mapping>();
  const auto set = [&](const Value& key, const Value& value) {
    machine.budget.entry(static_cast<int64_t>(mapping->size()));
    if (key.text() != nullptr) machine.budget.read(key.text()->size());
    mapping->set(key, value);
  };
  if (arguments.positional.size() > 1) throw Failure(FailureKind::kType, "dict expected at most 1 argument");
  machine.budget.object();
  for (const Value& from : arguments.positional) {
    if (from.mapping() != nullptr) {
      for (const auto& [key, value] : from.mapping()->entries()) set(key, value);
      continue;
    }
    for (const Value& pair : iterate(from, machine.budget)) {
      const Elements parts = iterate(pair, machine.budget);
      if (parts.size() != 2)
        throw Failure(FailureKind::kValue, "dictionary update sequence element: expected 2 values");
      set(parts[0], parts[1]);
    }
  }
  for (const auto& [name, value] : arguments.named) set(name, value);
  return mapping;
}

Value make_namespace(Machine& machine, const Bound& bound) {
  const std::shared_ptr<Namespace> space = machine.make_namespace();
  const std::shared_ptr<Mapping> attributes = make_dict(machine, bound.rest());
  for (const auto& [name, value] : attributes->entries()) {
    if (name.text() == nullptr) throw Failure(FailureKind::kType, "expected names as the keys of a namespace");
    set_attribute(*space, *name.get<Text>(), value, machine.budget);
  }
  return std::shared_ptr<Object>(space);
}

Value raise_exception(Machine& machine, const Bound& bound) {
  throw Failure(FailureKind::kRaised, excerpt(*str(bound[0], machine.budget), kMaxMessage));
}

Value strftime_now(Machine& machine, const Bound& bound) {
  const std::string& given = *bound.text(0);
  if (given.find('\0') != std::string::npos) throw Failure(FailureKind::kValue, "embedded null character");
  if (given.size() > kMaxTimeFormat) {
    throw Failure(FailureKind::kLimit, concat("expected a format of at most ", kMaxTimeFormat, " bytes for a time"));
  }
  const std::string format = given + " ";  // strftime answers 0 for an empty result
  const std::tm now = machine.now();
  std::string out(format.size() * 64 + 64, '\0');
  machine.budget.text(static_cast<int64_t>(out.size()));
  out.resize(std::strftime(out.data(), out.size(), format.c_str(), &now));
  if (!out.empty()) out.pop_back();
  return out;
}

}  // namespace

std::optional<Value> find_global(std::string_view name) {
  static const std::array<Builtin, 5> table = {{
      {"range", {"start", "stop", "step"}, 1, range},
      {"dict", {"*"}, 0, [](Machine& m, const Bound& b) -> Value { return make_dict(m, b.rest()); }},
      {"namespace", {"*"}, 0, make_namespace},
      {"raise_exception", {"message"}, 1, raise_exception},
      {"strftime_now", {"format"}, 1, strftime_now},
  }};
  const Builtin* found = find_in(table, name);
  if (found == nullptr) return std::nullopt;
  return Value(std::shared_ptr<Object>(std::make_shared<Function>(*found)));
}

}  // namespace loraxs::jinja
