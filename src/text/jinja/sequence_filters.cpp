// Filters over lists, dicts and what can be walked through: jinja2/filters.py 3.1.
#include <algorithm>
#include <array>

#include "io/error.h"
#include "text/jinja/builtin.h"
#include "text/jinja/machine.h"
#include "text/jinja/operators.h"
#include "text/jinja/text_builder.h"
#include "text/jinja/text_form.h"
#include "text/jinja/unicode.h"

namespace loraxs::jinja {
namespace {

/// "a.b.0": the keys that lead from an element to what a filter looks at. No path: the element itself.
class Path {
 public:
  Path(const Value& path, Budget& budget) {
    if (path.text() != nullptr) {
      add_keys(*path.text(), budget);
    } else if (!path.is_none()) {
      keys_.push_back(path);
    }
  }
  Path(std::string_view path, Budget& budget) { add_keys(path, budget); }

  Value follow(Machine& machine, Value value, const Value* fallback = nullptr) const {
    machine.budget.step(static_cast<int64_t>(keys_.size()));
    for (const Value& key : keys_) {
      value = machine.item(value, key);
      if (fallback != nullptr && !fallback->is_none() && value.is_undefined()) value = *fallback;
    }
    return value;
  }

 private:
  void add_keys(std::string_view path, Budget& budget) {
    budget.walk(path.size());
    for (size_t at = 0; at <= path.size();) {
      const std::string_view key = path.substr(at, std::min(path.find('.', at), path.size()) - at);
      budget.entry(static_cast<int64_t>(keys_.size()));
      budget.text(static_cast<int64_t>(key.size()));
      const bool whole = !key.empty() && key.size() < 18 && key.find_first_not_of("0123456789") == std::string::npos;
      keys_.push_back(whole ? Value(static_cast<int64_t>(std::stoll(std::string(key)))) : Value(std::string(key)));
      at += key.size() + 1;
    }
  }

  Values keys_;
};

Value folded(const Value& value, bool case_sensitive, Budget& budget) {
  return case_sensitive || value.text() == nullptr ? value : Value(lower(*value.get<Text>(), budget));
}

/// Elements with the keys they are ordered by; order kept among equals.
Values sorted(Machine& machine, std::vector<std::pair<Value, Value>> keyed, bool reverse) {
  machine.budget.list(static_cast<int64_t>(keyed.size()));
  std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& a, const auto& b) {
    return reverse ? compare(b.first, a.first, "<", machine.budget) < 0
                   : compare(a.first, b.first, "<", machine.budget) < 0;
  });
  Values values;
  values.reserve(keyed.size());
  for (auto& [key, value] : keyed) values.push_back(std::move(value));
  return values;
}

/// The paths of sort: several are separated by commas, "age,name".
std::vector<Path> sort_paths(const Value& attribute, Budget& budget) {
  std::vector<Path> paths;
  if (attribute.text() == nullptr) {
    paths.emplace_back(attribute, budget);
    return paths;
  }
  const std::string_view all = *attribute.text();
  for (size_t at = 0; at <= all.size();) {
    const std::string_view path = all.substr(at, std::min(all.find(',', at), all.size()) - at);
    budget.entry(static_cast<int64_t>(paths.size()));
    paths.emplace_back(path, budget);
    at += path.size() + 1;
  }
  return paths;
}

Value sort(Machine& machine, const Bound& bound) {
  const bool case_sensitive = bound.truth(2, false);
  const std::vector<Path> paths = sort_paths(bound.value(3, {}), machine.budget);
  const Elements values = iterate(bound[0], machine.budget);
  machine.budget.list(2 * static_cast<int64_t>(values.size()));
  std::vector<std::pair<Value, Value>> keyed;
  keyed.reserve(values.size());
  for (const Value& value : values) {
    Values keys;
    machine.budget.list(static_cast<int64_t>(paths.size()));
    for (const Path& path : paths) keys.push_back(folded(path.follow(machine, value), case_sensitive, machine.budget));
    keyed.emplace_back(Value::list(std::move(keys)), value);
  }
  return Value::list(sorted(machine, std::move(keyed), bound.truth(1, false)));
}

/// (key, value) of a dict.
Value pair_of(const std::pair<Value, Value>& entry, Budget& budget) {
  budget.list(2);
  return Value::tuple({entry.first, entry.second});
}

Value dictsort(Machine& machine, const Bound& bound) {
  if (bound[0].is_undefined()) fail_undefined(bound[0]);
  if (bound[0].mapping() == nullptr) {
    throw Failure(FailureKind::kUndefined, concat("'", bound[0].type_name(), "' object has no attribute 'items'"));
  }
  const std::string by = bound.has(2) ? *bound.text(2) : "key";
  if (by != "key" && by != "value") {
    throw Failure(FailureKind::kType, "You can only sort by either \"key\" or \"value\"");
  }
  std::vector<std::pair<Value, Value>> keyed;
  machine.budget.list(2 * static_cast<int64_t>(bound[0].mapping()->size()));
  for (const auto& entry : bound[0].mapping()->entries()) {
    keyed.emplace_back(folded(by == "key" ? entry.first : entry.second, bound.truth(1, false), machine.budget),
                       pair_of(entry, machine.budget));
  }
  return Value::list(sorted(machine, std::move(keyed), bound.truth(3, false)));
}

Value unique(Machine& machine, const Bound& bound) {
  const Elements values = iterate(bound[0], machine.budget);
  const Path path(bound.value(2, {}), machine.budget);
  machine.budget.list(static_cast<int64_t>(values.size()));
  Mapping seen;
  Values result, others;  // others: keys seen that a dict cannot have
  for (const Value& value : values) {
    const Value key = folded(path.follow(machine, value), bound.truth(1, false), machine.budget);
    if (key.text() != nullptr || key.number() || key.is_none()) {
      machine.budget.entry(static_cast<int64_t>(seen.size()));
      if (key.text() != nullptr) machine.budget.read(key.text()->size());
      if (!seen.set(key, true)) continue;
    } else {
      const auto same = [&](const Value& other) { return equal(other, key, machine.budget); };
      if (std::any_of(others.begin(), others.end(), same)) continue;
      others.push_back(key);
    }
    result.push_back(value);
  }
  return Value::generator(std::move(result));
}

Value extreme(Machine& machine, const Bound& bound, int sign) {
  const Elements values = iterate(bound[0], machine.budget);
  if (values.empty()) return Undefined{"No aggregated item, sequence was empty."};
  const Path path(bound.value(2, {}), machine.budget);
  const auto key_of = [&](const Value& value) {
    return folded(path.follow(machine, value), bound.truth(1, false), machine.budget);
  };
  size_t best = 0;
  Value best_key = key_of(values[0]);
  for (size_t i = 1; i < values.size(); ++i) {
    Value key = key_of(values[i]);
    if (compare(key, best_key, sign < 0 ? "<" : ">", machine.budget) != sign) continue;
    best = i;
    best_key = std::move(key);
  }
  return values[best];
}

Value join(Machine& machine, const Bound& bound) {
  const Text between = bound.has(1) ? str(bound[1], machine.budget) : Text("");
  const Path path(bound.value(2, {}), machine.budget);
  TextBuilder out(machine.budget);
  bool first = true;
  for (const Value& value : iterate(bound[0], machine.budget)) {
    if (!std::exchange(first, false)) out.append(*between);
    out.append(*str(path.follow(machine, value), machine.budget));
  }
  return out.take();
}

Value sum(Machine& machine, const Bound& bound) {
  Value total = bound.value(2, 0);
  if (total.text() != nullptr) throw Failure(FailureKind::kType, "sum() can't sum strings [use ''.join(seq) instead]");
  const Path path(bound.value(1, {}), machine.budget);
  for (const Value& value : iterate(bound[0], machine.budget)) {
    total = arithmetic(total, "+", path.follow(machine, value), machine.budget);
  }
  return total;
}

/// A filter or test for each element: the element, then what was given behind the name.
Arguments arguments_for(Machine& machine, Value value, const Arguments& rest, size_t first) {
  machine.budget.list(static_cast<int64_t>(rest.positional.size() + rest.named.size()));
  Arguments arguments{.positional = {std::move(value)}, .named = rest.named};
  arguments.positional.insert(arguments.positional.end(), rest.positional.begin() + static_cast<long>(first),
                              rest.positional.end());
  return arguments;
}

Value map(Machine& machine, const Bound& bound) {
  const Arguments& rest = bound.rest();
  const auto named = [&](std::string_view name) -> const Value* {
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
  const Path path(attribute == nullptr ? Value() : *attribute, machine.budget);
  const Value* fallback = named("default");
  const Elements values = iterate(bound[0], machine.budget);
  machine.budget.list(static_cast<int64_t>(values.size()));
  result.reserve(values.size());
  for (const Value& value : values) {
    result.push_back(attribute != nullptr
                         ? path.follow(machine, value, fallback)
                         : machine.filter(*rest.positional[0].text(), arguments_for(machine, value, rest, 1)));
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
  const Path path(kAttribute ? rest[0] : Value(), machine.budget);
  const Elements values = iterate(bound[0], machine.budget);
  machine.budget.list(static_cast<int64_t>(values.size()));
  for (const Value& value : values) {
    Value looked_at = path.follow(machine, value);
    bool holds = false;
    if (rest.size() == first) {
      holds = truth(looked_at);
    } else if (rest[first].text() == nullptr) {
      throw Failure(FailureKind::kType, "expected the name of a test");
    } else {
      holds = machine.test(*rest[first].text(), arguments_for(machine, std::move(looked_at), bound.rest(), first + 1));
    }
    if (holds == kKeep) result.push_back(value);
  }
  return Value::generator(std::move(result));
}

Value batch(Machine& machine, const Bound& bound) {
  const int64_t count = bound.integer(1, 1);
  const Elements values = iterate(bound[0], machine.budget);
  Values rows, row;
  const auto flush = [&] {
    if (row.empty()) return;
    machine.budget.entry(static_cast<int64_t>(rows.size()));
    machine.budget.list(static_cast<int64_t>(row.size()));
    rows.push_back(Value::list(std::exchange(row, {})));
  };
  for (const Value& value : values) {
    if (static_cast<int64_t>(row.size()) == count) flush();
    row.push_back(value);
  }
  if (bound.has(2) && !bound[2].is_none() && !row.empty() && static_cast<int64_t>(row.size()) < count) {
    machine.budget.list(count);
    row.resize(count, bound[2]);
  }
  flush();
  return Value::generator(std::move(rows));
}

Value reverse(Machine& machine, const Bound& bound) {
  if (const std::string* text = bound[0].text()) {
    machine.budget.walk(text->size());
    machine.budget.text(static_cast<int64_t>(text->size()));
    std::string backwards(text->size(), '\0');
    for (size_t at = 0; at < text->size();) {
      const size_t bytes = char_bytes((*text)[at]);
      text->copy(backwards.data() + text->size() - at - bytes, bytes, at);
      at += bytes;
    }
    return backwards;
  }
  const bool used_up = bound[0].items(Items::Kind::kGenerator) != nullptr || bound[0].is_undefined();
  const Elements values = iterate(bound[0], machine.budget);
  machine.budget.list(static_cast<int64_t>(values.size()));
  Values backwards(std::make_reverse_iterator(values.end()), std::make_reverse_iterator(values.begin()));
  return used_up ? Value::list(std::move(backwards)) : Value::generator(std::move(backwards));
}

Value first(Machine& machine, const Bound& bound) {
  Items* items = bound[0].items();
  if (items != nullptr && items->next < items->values->size()) {
    const size_t at = items->next;
    if (items->kind == Items::Kind::kGenerator) ++items->next;
    return (*items->values)[at];
  }
  const Elements values = items != nullptr ? Elements() : iterate(bound[0], machine.budget);
  return values.empty() ? Value(Undefined{"No first item, sequence was empty."}) : values[0];
}

Value last(Machine& machine, const Bound& bound) {
  if (bound[0].items(Items::Kind::kGenerator) != nullptr) {
    throw Failure(FailureKind::kType, "'generator' object is not reversible");
  }
  const Elements values = iterate(bound[0], machine.budget);
  return values.empty() ? Value(Undefined{"No last item, sequence was empty."}) : values[values.size() - 1];
}

Value items(Machine& machine, const Bound& bound) {
  if (bound[0].is_undefined()) return Value::generator({});
  if (bound[0].mapping() == nullptr) throw Failure(FailureKind::kType, "Can only get item pairs from a mapping.");
  Values pairs;
  machine.budget.list(static_cast<int64_t>(bound[0].mapping()->size()));
  for (const auto& entry : bound[0].mapping()->entries()) pairs.push_back(pair_of(entry, machine.budget));
  return Value::generator(std::move(pairs));
}

Value list_of(Machine& machine, const Bound& bound) {
  const Elements values = iterate(bound[0], machine.budget);
  machine.budget.list(static_cast<int64_t>(values.size()));
  return Value::list({values.begin(), values.end()});
}

Value length_of(Machine& machine, const Bound& bound) { return size_of(bound[0], machine.budget); }

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
      {"list", {"value"}, 1, list_of},
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
