// Methods of Python's str, list, tuple and dict that only read.
#include <algorithm>
#include <array>

#include "io/error.h"
#include "text/jinja/builtin.h"
#include "text/jinja/machine.h"
#include "text/jinja/operators.h"
#include "text/jinja/python_text.h"
#include "text/jinja/text_builder.h"
#include "text/jinja/text_form.h"
#include "text/jinja/text_search.h"

namespace loraxs::jinja {
namespace {

using M = Machine&;
using B = const Bound&;

const std::string* optional_text(B b, size_t index) {
  return b.has(index) && !b[index].is_none() ? &*b.text(index) : nullptr;
}

/// The part of the text between the code points that arguments 2 and 3 name, and where it begins; -1: there is none.
struct Window {
  std::string_view part;
  int64_t begin;
};

Window window(M machine, B b) {
  const std::string_view all = *b.text(0);
  if (!b.has(2) && !b.has(3)) return {all, 0};
  machine.budget.walk(all.size());
  const int64_t size = length(all);
  const auto bound = [&](size_t index, int64_t fallback) {
    const int64_t at = b.integer(index, fallback);
    return std::max<int64_t>(at < 0 ? at + size : at, 0);
  };
  const int64_t begin = bound(2, 0), end = std::min(bound(3, size), size);
  if (begin > size || begin > end) return {"", -1};
  const std::string_view behind = all.substr(byte_offset(all, begin));
  return {behind.substr(0, byte_offset(behind, end - begin)), begin};
}

int64_t find_text(M machine, B b, bool from_right) {
  const auto [part, begin] = window(machine, b);
  const std::string& wanted = *b.text(1);
  if (begin < 0) return -1;
  const size_t found =
      from_right ? find_last_part(part, wanted, machine.budget) : find_part(part, wanted, 0, machine.budget);
  if (found == std::string::npos) return -1;
  machine.budget.read(found);
  return length(part.substr(0, found)) + begin;
}

Value index_of_text(M machine, B b, bool from_right) {
  const int64_t found = find_text(machine, b, from_right);
  if (found < 0) throw Failure(FailureKind::kValue, "substring not found");
  return found;
}

Value count_text(M machine, B b) {
  const auto [part, begin] = window(machine, b);
  const std::string& wanted = *b.text(1);
  if (begin < 0) return 0;
  if (!wanted.empty()) return count_parts(part, wanted, INT64_MAX, machine.budget);
  machine.budget.read(part.size());
  return length(part) + 1;
}

template <bool kEnd>
Value starts_or_ends(M machine, B b) {
  const auto [part, begin] = window(machine, b);
  const auto holds = [&, part = part, begin = begin](const Value& wanted) {
    const std::string* text = wanted.text();
    if (text == nullptr) {
      throw Failure(FailureKind::kType, concat(kEnd ? "endswith" : "startswith",
                                               " first arg must be str or a tuple of str, not ", wanted.type_name()));
    }
    machine.budget.read(std::min(text->size(), part.size()));
    return begin >= 0 && (kEnd ? part.ends_with(*text) : part.starts_with(*text));
  };
  if (b[1].items(Items::Kind::kTuple) == nullptr) return holds(b[1]);
  const Elements wanted = iterate(b[1], machine.budget);
  return std::any_of(wanted.begin(), wanted.end(), holds);
}

template <bool kRight>
Value partition(M machine, B b) {
  const std::string &text = *b.text(0), &separator = *b.text(1);
  if (separator.empty()) throw Failure(FailureKind::kValue, "empty separator");
  const size_t found =
      kRight ? find_last_part(text, separator, machine.budget) : find_part(text, separator, 0, machine.budget);
  machine.budget.list(3);
  if (found == std::string::npos) return kRight ? Value::tuple({"", "", b[0]}) : Value::tuple({b[0], "", ""});
  const size_t behind = found + separator.size();
  machine.budget.text(static_cast<int64_t>(found));
  machine.budget.text(static_cast<int64_t>(text.size() - behind));
  return Value::tuple({text.substr(0, found), b[1], text.substr(behind)});
}

Value zfill(M machine, B b) {
  const std::string& text = *b.text(0);
  const size_t sign = text.starts_with('-') || text.starts_with('+') ? 1 : 0;
  machine.budget.read(text.size());
  TextBuilder out(machine.budget);
  out.append(std::string_view(text).substr(0, sign));
  out.append_repeated("0", std::max<int64_t>(b.integer(1, 0), 0) - length(text));
  out.append(std::string_view(text).substr(sign));
  return out.take();
}

Value join_texts(M machine, B b) {
  TextBuilder out(machine.budget);
  bool first = true;
  for (const Value& value : iterate(b[1], machine.budget)) {
    if (value.text() == nullptr) {
      throw Failure(FailureKind::kType, concat("sequence item: expected str instance, ", value.type_name(), " found"));
    }
    if (!std::exchange(first, false)) out.append(*b.text(0));
    out.append(*value.text());
  }
  return out.take();
}

/// The argument that a field of str.format names.
const Value& format_argument(M machine, B b, std::string_view field, size_t& next) {
  if (field.find_first_of("!:.[") != std::string_view::npos) {
    throw Failure(FailureKind::kUnsupported, concat("str.format with the field ", in_quotes(field)));
  }
  const Arguments& given = b.rest();
  const bool number = !field.empty() && field.find_first_not_of("0123456789") == std::string_view::npos;
  if (field.empty() || (number && field.size() < 9)) {
    const size_t index = number ? std::stoul(std::string(field)) : next++;
    if (index < given.positional.size()) return given.positional[index];
  } else {
    machine.budget.step(static_cast<int64_t>(given.named.size()));
    for (const auto& [name, value] : given.named) {
      if (name == field) return value;
    }
  }
  throw Failure(FailureKind::kValue, concat("no argument for the field ", in_quotes(field)));
}

/// str.format with {}, {0}, {name}; conversions and format specifications are not supported.
Value format_text(M machine, B b) {
  const std::string_view text = b.walked(0, machine.budget);
  TextBuilder out(machine.budget);
  size_t next = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t brace = std::min(text.find_first_of("{}", at), text.size());
    out.append(text.substr(at, brace - at));
    at = brace + 1;
    if (brace == text.size()) break;
    if (at < text.size() && text[at] == text[brace]) {
      out.append(text[at++]);
      continue;
    }
    if (text[brace] == '}') throw Failure(FailureKind::kValue, "Single '}' encountered in format string");
    const size_t end = text.find('}', at);
    if (end == std::string_view::npos) throw Failure(FailureKind::kValue, "expected '}' before end of string");
    machine.budget.step();
    out.append(*str(format_argument(machine, b, text.substr(at, end - at), next), machine.budget));
    at = end + 1;
  }
  return out.take();
}

template <Side kSide>
Value stripped(M machine, B b) {
  return strip(b.text(0), kSide, optional_text(b, 1), machine.budget);
}

template <Side kSide>
Value filled(M machine, B b) {
  return justified(b.text(0), b.integer(1, 0), kSide, b.has(2) ? *b.text(2) : " ", machine.budget);
}

template <Text (*kChange)(const Text&, Budget&)>
Value changed_text(M machine, B b) {
  return kChange(b.text(0), machine.budget);
}

template <CharacterSet kSet>
Value holds_all(M machine, B b) {
  return all_in(b.walked(0, machine.budget), kSet);
}

template <bool kFromRight>
Value split_text(M machine, B b) {
  return split(*b.text(0), optional_text(b, 1), b.integer(2, -1), kFromRight, machine.budget);
}

template <bool kSuffix>
Value remove_affix(M machine, B b) {
  const std::string &text = *b.text(0), &affix = *b.text(1);
  machine.budget.read(affix.size());
  if (affix.empty() || !(kSuffix ? text.ends_with(affix) : text.starts_with(affix))) return b[0];
  machine.budget.text(static_cast<int64_t>(text.size() - affix.size()));
  return text.substr(kSuffix ? 0 : affix.size(), text.size() - affix.size());
}

Value index_of_item(M machine, B b) {
  const Values& values = *b[0].items()->values;
  for (size_t i = 0; i < values.size(); ++i) {
    if (equal(values[i], b[1], machine.budget)) return static_cast<int64_t>(i);
  }
  throw Failure(FailureKind::kValue, "the value is not in the list");
}

Value count_items(M machine, B b) {
  const Values& values = *b[0].items()->values;
  return static_cast<int64_t>(std::count_if(values.begin(), values.end(),
                                            [&](const Value& each) { return equal(each, b[1], machine.budget); }));
}

/// dict.keys, values, items.
template <char kWhat>
Value view(M machine, B b) {
  Values values;
  machine.budget.list(static_cast<int64_t>(b[0].mapping()->size()));
  values.reserve(b[0].mapping()->size());
  for (const auto& [key, value] : b[0].mapping()->entries()) {
    if (kWhat == 'i') machine.budget.list(2);
    values.push_back(kWhat == 'k' ? key : kWhat == 'v' ? value : Value::tuple({key, value}));
  }
  return Value::items(Items::Kind::kView, std::move(values),
                      kWhat == 'k'   ? "dict_keys"
                      : kWhat == 'v' ? "dict_values"
                                     : "dict_items");
}

Value get_entry(M machine, B b) {
  if (b[1].text() != nullptr) machine.budget.read(b[1].text()->size());
  const Value* found = b[0].mapping()->find(b[1]);
  return found == nullptr ? b.value(2, {}) : *found;
}

Value self(M, B b) { return b[0]; }

}  // namespace

std::span<const Builtin> text_methods() {
  static const std::vector<const char*> only = {"self"};
  static const std::vector<const char*> search = {"self", "sub", "start", "end"}, fill = {"self", "width", "fillchar"};
  static const std::array<Builtin, 42> table = {{
      {"capitalize", only, 1, changed_text<capitalize>},
      {"casefold", only, 1, changed_text<casefold>},
      {"center", fill, 2, filled<Side::kBoth>},
      {"count", search, 2, count_text},
      {"endswith", search, 2, starts_or_ends<true>},
      {"find", search, 2, [](M m, B b) -> Value { return find_text(m, b, false); }},
      {"format", {"self", "*"}, 1, format_text},
      {"index", search, 2, [](M m, B b) -> Value { return index_of_text(m, b, false); }},
      {"isalnum", only, 1, holds_all<CharacterSet::kAlnum>},
      {"isalpha", only, 1, holds_all<CharacterSet::kAlpha>},
      {"isascii", only, 1, holds_all<CharacterSet::kAscii>},
      {"isdecimal", only, 1, holds_all<CharacterSet::kDecimal>},
      {"isdigit", only, 1, holds_all<CharacterSet::kDigit>},
      {"isidentifier", only, 1, [](M m, B b) -> Value { return is_identifier(b.walked(0, m.budget)); }},
      {"islower", only, 1, [](M m, B b) -> Value { return all_cased(b.walked(0, m.budget), false); }},
      {"isnumeric", only, 1, holds_all<CharacterSet::kNumeric>},
      {"isprintable", only, 1, holds_all<CharacterSet::kPrintable>},
      {"isspace", only, 1, holds_all<CharacterSet::kSpace>},
      {"istitle", only, 1, [](M m, B b) -> Value { return is_title(b.walked(0, m.budget)); }},
      {"isupper", only, 1, [](M m, B b) -> Value { return all_cased(b.walked(0, m.budget), true); }},
      {"join", {"self", "iterable"}, 2, join_texts},
      {"ljust", fill, 2, filled<Side::kLeft>},
      {"lower", only, 1, changed_text<lower>},
      {"lstrip", {"self", "chars"}, 1, stripped<Side::kLeft>},
      {"partition", {"self", "sep"}, 2, partition<false>},
      {"removeprefix", {"self", "prefix"}, 2, remove_affix<false>},
      {"removesuffix", {"self", "suffix"}, 2, remove_affix<true>},
      {"replace",
       {"self", "old", "new", "count"},
       3,
       [](M m, B b) -> Value { return replaced(b.text(0), *b.text(1), *b.text(2), b.integer(3, -1), m.budget); }},
      {"rfind", search, 2, [](M m, B b) -> Value { return find_text(m, b, true); }},
      {"rindex", search, 2, [](M m, B b) -> Value { return index_of_text(m, b, true); }},
      {"rjust", fill, 2, filled<Side::kRight>},
      {"rpartition", {"self", "sep"}, 2, partition<true>},
      {"rsplit", {"self", "sep", "maxsplit"}, 1, split_text<true>},
      {"rstrip", {"self", "chars"}, 1, stripped<Side::kRight>},
      {"split", {"self", "sep", "maxsplit"}, 1, split_text<false>},
      {"splitlines",
       {"self", "keepends"},
       1,
       [](M m, B b) { return split_lines(*b.text(0), b.truth(1, false), m.budget); }},
      {"startswith", search, 2, starts_or_ends<false>},
      {"strip", {"self", "chars"}, 1, stripped<Side::kBoth>},
      {"swapcase", only, 1, changed_text<swapcase>},
      {"title", only, 1, changed_text<title>},
      {"upper", only, 1, changed_text<upper>},
      {"zfill", {"self", "width"}, 2, zfill},
  }};
  return table;
}

const Builtin* find_method(const Value& value, std::string_view name) {
  static const std::array<Builtin, 3> of_items = {{
      {"count", {"self", "value"}, 2, count_items},
      {"index", {"self", "value"}, 2, index_of_item},
      {"copy", {"self"}, 1, self},
  }};
  static const std::array<Builtin, 5> of_mapping = {{
      {"copy", {"self"}, 1, self},
      {"get", {"self", "key", "default"}, 2, get_entry},
      {"items", {"self"}, 1, view<'i'>},
      {"keys", {"self"}, 1, view<'k'>},
      {"values", {"self"}, 1, view<'v'>},
  }};
  if (value.text() != nullptr) return find_in(text_methods(), name);
  if (value.mapping() != nullptr) return find_in(of_mapping, name);
  if (value.items() == nullptr || value.items()->kind > Items::Kind::kRange) return nullptr;
  const Builtin* found = find_in(of_items, name);
  return found != nullptr && std::string_view(name) == "copy" && value.items()->kind != Items::Kind::kList ? nullptr
                                                                                                           : found;
}

}  // namespace loraxs::jinja
