// Filters over lists, dicts and what can be walked through: jinja2/filters.py 3.1.
#include <algorithm>
#include <array>

#include "io/error.h"
#include "text/jinja/builtin.h"
#include "text/jinja/machine.h"
#include "text/jinja/operators.h"
#include "text/jinja/text_form.h"
#include "text/jinja/unicode.h"

namespace loraxs::jinja {
namespace {

/// "a.b.0": the keys that lead from an element to what a filter looks at.
Value follow(Machine& machine, Value value, const Value& path, const Value* fallback = nullptr) {
  if (path.is_none()) return value;
  Values keys;
  if (path.text() == nullptr) keys.push_back(path);
  for (std::string rest = path.text() == nullptr ? "" : *path.text() + "."; !rest.empty();) {
    const std::string key = rest.substr(0, rest.find('.'));
    const bool whole = !key.empty() && std::all_of(key.begin(), key.end(), [](char c) { return c >= '0' && c <= '9'; });
    keys.push_back(whole && key.size() < 18 ? Value(static_cast<int64_t>(std::stoll(key))) : Value(key));
    rest.erase(0, key.size() + 1);
  }
  for (const Value& key : keys) {
    value = machine.item(value, key);
    if (fallback != nullptr && !fallback->is_none() && value.is_undefined()) value = *fallback;
  }
  return value;
}

Value folded(const Value& value, bool case_sensitive) {
  return case_sensitive || value.text() == nullptr ? value : Value(lower(*value.text()));
}

/// Elements with the keys they are ordered by; order kept among equals.
Values sorted(Machine& machine, std::vector<std::pair<Value, Value>> keyed, bool reverse) {
  machine.budget.step(static_cast<int64_t>(keyed.size()) * 4);
  std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& a, const auto& b) {
    return reverse ? compare(b.first, a.first, "<", machine.budget) < 0
                   : compare(a.first, b.first, "<", machine.budget) < 0;
  });
  Values values;
  for (auto& [key, value] : keyed) values.push_back(std::move(value));
  return values;
}

Value sort(Machine& machine, const Bound& bound) {
  const bool case_sensitive = bound.truth(2, false);
  const Value attribute = bound.value(3, {});
  std::vector<std::pair<Value, Value>> keyed;
  for (Value& value : iterate(bound[0], machine.budget)) {
    Values keys;  // several attributes: "age,name"
    if (attribute.text() != nullptr) {
      for (std::string rest = *attribute.text() + ","; !rest.empty();) {
        const std::string path = rest.substr(0, rest.find(','));
        keys.push_back(folded(follow(machine, value, path), case_sensitive));
        rest.erase(0, path.size() + 1);
      }
    } else {
      keys.push_back(folded(follow(machine, value, attribute), case_sensitive));
    }
    keyed.emplace_back(Value::list(std::move(keys)), std::move(value));
  }
  return Value::list(sorted(machine, std::move(keyed), bound.truth(1, false)));
}

Value dictsort(Machine& machine, const Bound& bound) {
  if (bound[0].is_undefined()) fail_undefined(bound[0]);
  if (bound[0].mapping() == nullptr) {
    throw Failure(FailureKind::kUndefined, concat("'", bound[0].type_name(), "' object has no attribute 'items'"));
  }
  const std::string by = bound.has(2) ? bound.text(2) : "key";
  if (by != "key" && by != "value") {
    throw Failure(FailureKind::kType, "You can only sort by either \"key\" or \"value\"");
  }
  std::vector<std::pair<Value, Value>> keyed;
  for (const auto& [key, value] : bound[0].mapping()->entries) {
    keyed.emplace_back(folded(by == "key" ? key : value, bound.truth(1, false)), Value::tuple({key, value}));
  }
  return Value::list(sorted(machine, std::move(keyed), bound.truth(3, false)));
}

Value unique(Machine& machine, const Bound& bound) {
  Values result, seen;
  for (Value& value : iterate(bound[0], machine.budget)) {
    Value key = folded(follow(machine, value, bound.value(2, {})), bound.truth(1, false));
    const auto same = [&](const Value& other) { return equal(other, key, machine.budget); };
    if (std::any_of(seen.begin(), seen.end(), same)) continue;
    seen.push_back(std::move(key));
    result.push_back(std::move(value));
  }
  return Value::generator(std::move(result));
}

Value extreme(Machine& machine, const Bound& bound, int sign) {
  const Values values = iterate(bound[0], machine.budget);
  if (values.empty()) return Undefined{"No aggregated item, sequence was empty."};
  const auto key = [&](const Value& value) {
    return folded(follow(machine, value, bound.value(2, {})), bound.truth(1, false));
  };
  const Value* best = &values.front();
  for (const Value& value : values) {
    if (&value != best && compare(key(value), key(*best), sign < 0 ? "<" : ">", machine.budget) == sign) best = &value;
  }
  return *best;
}

Value join(Machine& machine, const Bound& bound) {
  const std::string between = bound.has(1) ? str(bound[1], machine.budget) : "";
  std::string out;
  bool first = true;
  for (Value& value : iterate(bound[0], machine.budget)) {
    const std::string part = str(follow(machine, value, bound.value(2, {})), machine.budget);
    machine.budget.grow(static_cast<int64_t>(out.size()), static_cast<int64_t>(between.size() + part.size()));
    out += (first ? "" : between) + part;
    first = false;
  }
  return out;
}

Value sum(Machine& machine, const Bound& bound) {
  Value total = bound.value(2, 0);
  if (total.text() != nullptr) throw Failure(FailureKind::kType, "sum() can't sum strings [use ''.join(seq) instead]");
  for (const Value& value : iterate(bound[0], machine.budget)) {
    total = arithmetic(total, "+", follow(machine, value, bound.value(1, {})), machine.budget);
  }
  return total;
}

Value map(Machine& machine, const Bound& bound) {
  const Arguments& rest = bound.rest();
  const auto named = [&](const char* name) -> const Value* {
    for (const auto& [known, value] : rest.named) {
      if (known == name) return &value;
    }
    return nullptr;
  };
  Values result;
  if (!truth(bound[0])) return Value::generator({});
  const Value* attribute = rest.positional.empty() ? named("attribute") : nullptr;
  if (attribute == nullptr && (rest.positional.empty() || rest.positional[0].text() == nullptr)) {
    throw Failure(FailureKind::kType, "map requires a filter argument");
  }
  for (Value& value : iterate(bound[0], machine.budget)) {
    if (attribute != nullptr) {
      result.push_back(follow(machine, value, *attribute, named("default")));
    } else {
      Arguments arguments{.positional = {std::move(value)}, .named = rest.named};
      arguments.positional.insert(arguments.positional.end(), rest.positional.begin() + 1, rest.positional.end());
      result.push_back(machine.filter(*rest.positional[0].text(), std::move(arguments)));
    }
  }
  return Value::generator(std::move(result));
}

template <bool kKeep, bool kAttribute>
Value choose(Machine& machine, const Bound& bound) {
  const Values& rest = bound.rest().positional;
  Values result;
  if (!truth(bound[0])) return Value::generator({});
  const size_t first = kAttribute ? 1 : 0;
  if (rest.size() < first) throw Failure(FailureKind::kType, "Missing parameter for attribute name");
  for (Value& value : iterate(bound[0], machine.budget)) {
    Value looked_at = kAttribute ? follow(machine, value, rest[0]) : value;
    bool holds = false;
    if (rest.size() == first) {
      holds = truth(looked_at);
    } else if (rest[first].text() == nullptr) {
      throw Failure(FailureKind::kType, "expected the name of a test");
    } else {
      Arguments arguments{.positional = {std::move(looked_at)}, .named = bound.rest().named};
      arguments.positional.insert(arguments.positional.end(), rest.begin() + static_cast<long>(first) + 1, rest.end());
      holds = machine.test(*rest[first].text(), std::move(arguments));
    }
    if (holds == kKeep) result.push_back(std::move(value));
  }
  return Value::generator(std::move(result));
}

Value batch(Machine& machine, const Bound& bound) {
  const int64_t count = bound.integer(1, 1);
  const Values values = iterate(bound[0], machine.budget);
  Values rows, row;
  const auto flush = [&] {
    if (!row.empty()) rows.push_back(Value::list(std::exchange(row, {})));
  };
  for (const Value& value : values) {
    if (static_cast<int64_t>(row.size()) == count) flush();
    row.push_back(value);
  }
  if (bound.has(2) && !bound[2].is_none() && !row.empty() && static_cast<int64_t>(row.size()) < count) {
    machine.budget.step(count);
    row.resize(count, bound[2]);
  }
  flush();
  return Value::generator(std::move(rows));
}

Value reverse(Machine& machine, const Bound& bound) {
  if (const std::string* text = bound[0].text()) {
    std::u32string all = code_points(*text);
    std::reverse(all.begin(), all.end());
    return utf8(all);
  }
  const bool used_up = bound[0].items(Items::Kind::kGenerator) != nullptr || bound[0].is_undefined();
  Values values = iterate(bound[0], machine.budget);
  std::reverse(values.begin(), values.end());
  return used_up ? Value::list(std::move(values)) : Value::generator(std::move(values));
}

Value first(Machine& machine, const Bound& bound) {
  if (Items* items = bound[0].items(Items::Kind::kGenerator)) {
    if (items->next < items->values->size()) return (*items->values)[items->next++];
  } else {
    const Values values = iterate(bound[0], machine.budget);
    if (!values.empty()) return values.front();
  }
  return Undefined{"No first item, sequence was empty."};
}

Value last(Machine& machine, const Bound& bound) {
  if (bound[0].items(Items::Kind::kGenerator) != nullptr || bound[0].is_undefined()) {
    if (bound[0].is_undefined()) return Undefined{"No last item, sequence was empty."};
    throw Failure(FailureKind::kType, "'generator' object is not reversible");
  }
  const Values values = iterate(bound[0], machine.budget);
  return values.empty() ? Value(Undefined{"No last item, sequence was empty."}) : values.back();
}

Value items(Machine&, const Bound& bound) {
  if (bound[0].is_undefined()) return Value::generator({});
  if (bound[0].mapping() == nullptr) throw Failure(FailureKind::kType, "Can only get item pairs from a mapping.");
  Values pairs;
  for (const auto& [key, value] : bound[0].mapping()->entries) pairs.push_back(Value::tuple({key, value}));
  return Value::generator(std::move(pairs));
}

Value length_of(Machine&, const Bound& bound) { return size_of(bound[0]); }

}  // namespace

std::span<const Builtin> sequence_filters() {
  static const std::array<Builtin, 20> table = {{
      {"batch", {"value", "linecount", "fill_with"}, 2, batch},
      {"count", {"obj"}, 1, length_of},
      {"dictsort", {"value", "case_sensitive", "by", "reverse"}, 1, dictsort},
      {"first", {"seq"}, 1, first},
      {"items", {"value"}, 1, items},
      {"join", {"value", "d", "attribute"}, 1, join},
      {"last", {"seq"}, 1, last},
      {"length", {"obj"}, 1, length_of},
      {"list", {"value"}, 1, [](Machine& m, const Bound& b) { return Value::list(iterate(b[0], m.budget)); }},
      {"map", {"value", "*"}, 1, map},
      {"max", {"value", "case_sensitive", "attribute"}, 1, [](Machine& m, const Bound& b) { return extreme(m, b, 1); }},
      {"min",
       {"value", "case_sensitive", "attribute"},
       1,
       [](Machine& m, const Bound& b) { return extreme(m, b, -1); }},
      {"reject", {"value", "*"}, 1, choose<false, false>},
      {"rejectattr", {"value", "*"}, 1, choose<false, true>},
      {"reverse", {"value"}, 1, reverse},
      {"select", {"value", "*"}, 1, choose<true, false>},
      {"selectattr", {"value", "*"}, 1, choose<true, true>},
      {"sort", {"value", "reverse", "case_sensitive", "attribute"}, 1, sort},
      {"sum", {"iterable", "attribute", "start"}, 1, sum},
      {"unique", {"value", "case_sensitive", "attribute"}, 1, unique},
  }};
  return table;
}

}  // namespace loraxs::jinja
