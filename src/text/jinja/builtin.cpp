#include "text/jinja/builtin.h"

#include <algorithm>

#include "io/error.h"
#include "text/jinja/failure.h"
#include "text/jinja/operators.h"

namespace loraxs::jinja {

int64_t Bound::integer(size_t index, int64_t fallback) const {
  if (!has(index) || values_[index]->is_none()) return fallback;
  if (const auto whole = values_[index]->integer()) return *whole;
  if (values_[index]->is_undefined()) fail_undefined(*values_[index]);
  throw Failure(FailureKind::kType,
                concat("'", values_[index]->type_name(), "' object cannot be interpreted as an integer"));
}

const Text& Bound::text(size_t index) const {
  if (const Text* text = values_[index]->get<Text>()) return *text;
  throw Failure(FailureKind::kType, concat("expected a string, found '", values_[index]->type_name(), "'"));
}

const std::string& Bound::walked(size_t index, Budget& budget) const {
  const std::string& walked = *text(index);
  budget.walk(walked.size());
  return walked;
}

bool Bound::truth(size_t index, bool fallback) const { return has(index) ? jinja::truth(*values_[index]) : fallback; }

Bound bind(const Builtin& builtin, Arguments arguments) {
  const bool open = !builtin.parameters.empty() && std::string_view(builtin.parameters.back()) == "*";
  const size_t count = builtin.parameters.size() - (open ? 1 : 0);
  Bound bound;
  bound.values_.resize(count);
  for (size_t i = 0; i < arguments.positional.size(); ++i) {
    if (i < count) {
      bound.values_[i] = std::move(arguments.positional[i]);
    } else if (open) {
      bound.rest_.positional.push_back(std::move(arguments.positional[i]));
    } else {
      throw Failure(FailureKind::kType,
                    concat(builtin.name, " takes at most ", count, " arguments, found ", arguments.positional.size()));
    }
  }
  for (auto& [name, value] : arguments.named) {
    const auto found = std::find_if(builtin.parameters.begin(), builtin.parameters.begin() + static_cast<long>(count),
                                    [&](const char* known) { return *name == known; });
    const size_t index = found - builtin.parameters.begin();
    if (index == count && open) {
      bound.rest_.named.emplace_back(name, std::move(value));
    } else if (index == count || bound.values_[index]) {
      throw Failure(FailureKind::kType, concat(builtin.name,
                                               index == count ? " got an unexpected keyword argument '"
                                                              : " got multiple values for argument '",
                                               excerpt(*name), "'"));
    } else {
      bound.values_[index] = std::move(value);
    }
  }
  for (size_t i = 0; i < builtin.required; ++i) {
    if (!bound.values_[i]) {
      throw Failure(FailureKind::kType, concat(builtin.name, " misses the argument '", builtin.parameters[i], "'"));
    }
  }
  return bound;
}

const Builtin* find_in(std::span<const Builtin> table, std::string_view name) {
  const auto found = std::find_if(table.begin(), table.end(), [&](const Builtin& each) { return name == each.name; });
  return found == table.end() ? nullptr : &*found;
}

const Builtin* find_filter(std::string_view name) {
  for (const auto table : {text_filters(), sequence_filters(), value_filters()}) {
    if (const Builtin* found = find_in(table, name)) return found;
  }
  return nullptr;
}

}  // namespace loraxs::jinja
