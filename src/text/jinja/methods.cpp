// Methods of Python's str, list, tuple and dict that only read.
#include <algorithm>
#include <array>

#include "io/error.h"
#include "text/jinja/builtin.h"
#include "text/jinja/machine.h"
#include "text/jinja/operators.h"
#include "text/jinja/python_text.h"
#include "text/jinja/text_form.h"

namespace loraxs::jinja {
namespace {

using M = Machine&;
using B = const Bound&;

Value texts(std::vector<std::string> parts) { return Value::list({parts.begin(), parts.end()}); }

const std::string* optional_text(B b, size_t index) {
  return b.has(index) && !b[index].is_none() ? &b.text(index) : nullptr;
}

/// The part of the text between the code points that arguments 2 and 3 name, and where it begins.
std::pair<std::u32string, int64_t> window(B b) {
  const std::u32string all = code_points(b.text(0));
  const auto size = static_cast<int64_t>(all.size());
  const auto bound = [&](size_t index, int64_t fallback) {
    const int64_t at = b.integer(index, fallback);
    return std::max<int64_t>(at < 0 ? at + size : at, 0);
  };
  const int64_t begin = bound(2, 0), end = std::min(bound(3, size), size);
  if (begin > size || begin > end) return {U"", -1};
  return {all.substr(begin, end - begin), begin};
}

int64_t find_text(B b, bool from_right) {
  const auto [part, begin] = window(b);
  if (begin < 0) return -1;
  const std::u32string wanted = code_points(b.text(1));
  const size_t found = from_right ? part.rfind(wanted) : part.find(wanted);
  return found == std::u32string::npos ? -1 : static_cast<int64_t>(found) + begin;
}

Value index_of_text(B b, bool from_right) {
  const int64_t found = find_text(b, from_right);
  if (found < 0) throw Failure(FailureKind::kValue, "substring not found");
  return found;
}

Value count_text(M, B b) {
  const auto [part, begin] = window(b);
  if (begin < 0) return 0;
  const std::u32string wanted = code_points(b.text(1));
  if (wanted.empty()) return static_cast<int64_t>(part.size()) + 1;
  int64_t count = 0;
  for (size_t at = part.find(wanted); at != std::u32string::npos; at = part.find(wanted, at + wanted.size())) ++count;
  return count;
}

template <bool kEnd>
Value starts_or_ends(M machine, B b) {
  const auto [part, begin] = window(b);
  const Values wanted = b[1].items(Items::Kind::kTuple) != nullptr ? iterate(b[1], machine.budget) : Values{b[1]};
  for (const Value& each : wanted) {
    if (each.text() == nullptr) {
      throw Failure(FailureKind::kType, concat(kEnd ? "endswith" : "startswith",
                                               " first arg must be str or a tuple of str, not ", each.type_name()));
    }
    const std::u32string text = code_points(*each.text());
    if (begin >= 0 && (kEnd ? part.ends_with(text) : part.starts_with(text))) return true;
  }
  return false;
}

template <bool kRight>
Value partition(M, B b) {
  const std::string &text = b.text(0), &separator = b.text(1);
  if (separator.empty()) throw Failure(FailureKind::kValue, "empty separator");
  const size_t found = kRight ? text.rfind(separator) : text.find(separator);
  if (found == std::string::npos) {
    return kRight ? Value::tuple({"", "", text}) : Value::tuple({text, "", ""});
  }
  return Value::tuple({text.substr(0, found), separator, text.substr(found + separator.size())});
}

Value zfill(M machine, B b) {
  const std::string& text = b.text(0);
  const bool sign = text.starts_with('-') || text.starts_with('+');
  return text.substr(0, sign ? 1 : 0) +
         justified(text.substr(sign ? 1 : 0), b.integer(1, 0) - (sign ? 1 : 0), Side::kRight, "0", machine.budget);
}

Value join_texts(M machine, B b) {
  std::string out;
  bool first = true;
  for (const Value& value : iterate(b[1], machine.budget)) {
    if (value.text() == nullptr) {
      throw Failure(FailureKind::kType, concat("sequence item: expected str instance, ", value.type_name(), " found"));
    }
    machine.budget.grow(static_cast<int64_t>(out.size()),
                        static_cast<int64_t>(b.text(0).size() + value.text()->size()));
    out += (first ? "" : b.text(0)) + *value.text();
    first = false;
  }
  return out;
}

/// str.format with {}, {0}, {name}; conversions and format specifications are not supported.
Value format_text(M machine, B b) {
  const std::string& text = b.text(0);
  std::string out;
  size_t next = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if ((c == '{' || c == '}') && at + 1 < text.size() && text[at + 1] == c) {
      out += c;
      ++at;
    } else if (c == '{') {
      const size_t end = text.find('}', at);
      if (end == std::string::npos) throw Failure(FailureKind::kValue, "expected '}' before end of string");
      const std::string field = text.substr(at + 1, end - at - 1);
      if (field.find_first_of("!:.[") != std::string::npos) {
        throw Failure(FailureKind::kUnsupported, concat("str.format with the field {", field, "}"));
      }
      const bool number =
          !field.empty() && field.find_first_not_of("0123456789") == std::string::npos && field.size() < 9;
      const Value* found = nullptr;
      if (field.empty() || number) {
        const size_t index = number ? std::stoul(field) : next++;
        if (index < b.rest().positional.size()) found = &b.rest().positional[index];
      } else {
        for (const auto& [name, value] : b.rest().named) found = name == field ? &value : found;
      }
      if (found == nullptr) throw Failure(FailureKind::kValue, concat("no argument for the field {", field, "}"));
      out += str(*found, machine.budget);
      at = end;
    } else if (c == '}') {
      throw Failure(FailureKind::kValue, "Single '}' encountered in format string");
    } else {
      out += c;
    }
    if (out.size() > text.size()) machine.budget.text(static_cast<int64_t>(out.size()));
  }
  return out;
}

template <Side kSide>
Value stripped(M, B b) {
  return strip(b.text(0), kSide, optional_text(b, 1));
}

template <Side kSide>
Value filled(M machine, B b) {
  return justified(b.text(0), b.integer(1, 0), kSide, b.has(2) ? b.text(2) : " ", machine.budget);
}

template <std::string (*kChange)(std::string_view)>
Value changed(M, B b) {
  return kChange(b.text(0));
}

template <CharacterSet kSet>
Value holds(M, B b) {
  return all_in(b.text(0), kSet);
}

Value remove_prefix(M, B b) {
  return b.text(0).starts_with(b.text(1)) ? b.text(0).substr(b.text(1).size()) : b.text(0);
}

Value remove_suffix(M, B b) {
  return b.text(0).ends_with(b.text(1)) ? b.text(0).substr(0, b.text(0).size() - b.text(1).size()) : b.text(0);
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
  for (const auto& [key, value] : b[0].mapping()->entries) {
    values.push_back(kWhat == 'k' ? key : kWhat == 'v' ? value : Value::tuple({key, value}));
  }
  machine.budget.step(static_cast<int64_t>(values.size()));
  return Value::items(Items::Kind::kView, std::move(values),
                      kWhat == 'k'   ? "dict_keys"
                      : kWhat == 'v' ? "dict_values"
                                     : "dict_items");
}

Value get_entry(M, B b) {
  const Value* found = b[0].mapping()->find(b[1]);
  return found == nullptr ? b.value(2, {}) : *found;
}

Value self(M, B b) { return b[0]; }

}  // namespace

std::span<const Builtin> text_methods() {
  static const std::vector<const char*> only = {"self"};
  static const std::vector<const char*> search = {"self", "sub", "start", "end"}, fill = {"self", "width", "fillchar"};
  static const std::array<Builtin, 42> table = {{
      {"capitalize", only, 1, changed<capitalize>},
      {"casefold", only, 1, changed<casefold>},
      {"center", fill, 2, filled<Side::kBoth>},
      {"count", search, 2, count_text},
      {"endswith", search, 2, starts_or_ends<true>},
      {"find", search, 2, [](M, B b) -> Value { return find_text(b, false); }},
      {"format", {"self", "*"}, 1, format_text},
      {"index", search, 2, [](M, B b) -> Value { return index_of_text(b, false); }},
      {"isalnum", only, 1, holds<CharacterSet::kAlnum>},
      {"isalpha", only, 1, holds<CharacterSet::kAlpha>},
      {"isascii", only, 1, holds<CharacterSet::kAscii>},
      {"isdecimal", only, 1, holds<CharacterSet::kDecimal>},
      {"isdigit", only, 1, holds<CharacterSet::kDigit>},
      {"isidentifier", only, 1, [](M, B b) -> Value { return is_identifier(b.text(0)); }},
      {"islower", only, 1, [](M, B b) -> Value { return all_cased(b.text(0), false); }},
      {"isnumeric", only, 1, holds<CharacterSet::kNumeric>},
      {"isprintable", only, 1, holds<CharacterSet::kPrintable>},
      {"isspace", only, 1, holds<CharacterSet::kSpace>},
      {"istitle", only, 1, [](M, B b) -> Value { return is_title(b.text(0)); }},
      {"isupper", only, 1, [](M, B b) -> Value { return all_cased(b.text(0), true); }},
      {"join", {"self", "iterable"}, 2, join_texts},
      {"ljust", fill, 2, filled<Side::kLeft>},
      {"lower", only, 1, changed<lower>},
      {"lstrip", {"self", "chars"}, 1, stripped<Side::kLeft>},
      {"partition", {"self", "sep"}, 2, partition<false>},
      {"removeprefix", {"self", "prefix"}, 2, remove_prefix},
      {"removesuffix", {"self", "suffix"}, 2, remove_suffix},
      {"replace",
       {"self", "old", "new", "count"},
       3,
       [](M m, B b) -> Value { return replaced(b.text(0), b.text(1), b.text(2), b.integer(3, -1), m.budget); }},
      {"rfind", search, 2, [](M, B b) -> Value { return find_text(b, true); }},
      {"rindex", search, 2, [](M, B b) -> Value { return index_of_text(b, true); }},
      {"rjust", fill, 2, filled<Side::kRight>},
      {"rpartition", {"self", "sep"}, 2, partition<true>},
      {"rsplit",
       {"self", "sep", "maxsplit"},
       1,
       [](M, B b) { return texts(split(b.text(0), optional_text(b, 1), b.integer(2, -1), true)); }},
      {"rstrip", {"self", "chars"}, 1, stripped<Side::kRight>},
      {"split",
       {"self", "sep", "maxsplit"},
       1,
       [](M, B b) { return texts(split(b.text(0), optional_text(b, 1), b.integer(2, -1), false)); }},
      {"splitlines", {"self", "keepends"}, 1, [](M, B b) { return texts(split_lines(b.text(0), b.truth(1, false))); }},
      {"startswith", search, 2, starts_or_ends<false>},
      {"strip", {"self", "chars"}, 1, stripped<Side::kBoth>},
      {"swapcase", only, 1, changed<swapcase>},
      {"title", only, 1, changed<title>},
      {"upper", only, 1, changed<upper>},
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
