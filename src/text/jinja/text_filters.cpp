// Filters that make a text of a text: jinja2/filters.py 3.1.
#include <algorithm>
#include <array>
#include <string_view>

#include "io/error.h"
#include "text/jinja/builtin.h"
#include "text/jinja/machine.h"
#include "text/jinja/operators.h"
#include "text/jinja/percent_format.h"
#include "text/jinja/python_text.h"
#include "text/jinja/text_form.h"
#include "text/jinja/unicode.h"

namespace loraxs::jinja {
namespace {

std::string soft(Machine& machine, const Bound& bound) { return str(bound[0], machine.budget); }

Value indent(Machine& machine, const Bound& bound) {
  if (bound[0].text() == nullptr) {
    if (bound[0].is_undefined()) fail_undefined(bound[0]);
    throw Failure(FailureKind::kType, concat("expected a text to indent, found '", bound[0].type_name(), "'"));
  }
  const Value width = bound.value(1, 4);
  const std::string space =
      width.text() != nullptr ? *width.text() : *arithmetic(" ", "*", bound.integer(1, 4), machine.budget).text();
  const bool first = bound.truth(2, false), blank = bound.truth(3, false);
  const std::vector<std::string> lines = split_lines(*bound[0].text() + "\n", /*keep_ends=*/false);
  std::string out = first ? space : "";
  for (size_t i = 0; i < lines.size(); ++i) {
    const std::string line = i == 0 ? lines[i] : concat("\n", blank || !lines[i].empty() ? space : "", lines[i]);
    machine.budget.grow(static_cast<int64_t>(out.size()), static_cast<int64_t>(line.size()));
    out += line;
  }
  return out;
}

Value escape(Machine& machine, const Bound& bound) {
  std::string out;
  for (const char c : soft(machine, bound)) {
    out += c == '&'    ? "&amp;"
           : c == '<'  ? "&lt;"
           : c == '>'  ? "&gt;"
           : c == '"'  ? "&#34;"
           : c == '\'' ? "&#39;"
                       : std::string(1, c);
  }
  machine.budget.text(static_cast<int64_t>(out.size()));
  return out;
}

Value title(Machine& machine, const Bound& bound) {
  static constexpr std::u32string_view kBefore = U"-({[<";
  std::string out;
  std::u32string word;
  const auto flush = [&] {
    if (word.empty()) return;
    out += upper(utf8(std::u32string_view(word).substr(0, 1))) + lower(utf8(std::u32string_view(word).substr(1)));
    word.clear();
  };
  for (const char32_t c : code_points(soft(machine, bound))) {
    if (is_space(c) || kBefore.find(c) != std::u32string_view::npos) {
      flush();
      append_utf8(out, c);
    } else {
      word += c;
    }
  }
  flush();
  return out;
}

Value truncate(Machine&, const Bound& bound) {
  const std::u32string text = code_points(bound.text(0)), end = code_points(bound.has(3) ? bound.text(3) : "...");
  const int64_t most = bound.integer(1, 255), leeway = bound.integer(4, 5);
  const auto size = static_cast<int64_t>(end.size());
  if (most < size || leeway < 0)
    throw Failure(FailureKind::kValue, concat("expected length >= ", size, ", got ", most));
  if (static_cast<int64_t>(text.size()) <= most + leeway) return bound[0];
  std::u32string kept = text.substr(0, most - size);
  if (!bound.truth(2, false)) kept = kept.substr(0, kept.rfind(U' '));
  return utf8(kept + end);
}

std::string quoted_for_url(const std::string& text, std::string_view safe) {
  std::string out;
  for (const char c : text) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0 ||
                       std::string_view("_.-~").find(c) != std::string_view::npos ||
                       safe.find(c) != std::string_view::npos;
    if (plain) {
      out += c;
    } else {
      static constexpr std::string_view kDigits = "0123456789ABCDEF";
      out += {'%', kDigits[static_cast<unsigned char>(c) >> 4], kDigits[static_cast<unsigned char>(c) & 15]};
    }
  }
  return out;
}

Value urlencode(Machine& machine, const Bound& bound) {
  if (bound[0].mapping() == nullptr && bound[0].items() == nullptr) return quoted_for_url(soft(machine, bound), "/");
  throw Failure(FailureKind::kUnsupported, "urlencode of a list or dict");
}

Value wordcount(Machine& machine, const Bound& bound) {
  int64_t words = 0;
  bool inside = false;
  for (const char32_t c : code_points(soft(machine, bound))) {
    const bool word = c == '_' || all_in(utf8({&c, 1}), CharacterSet::kAlnum);
    words += word && !inside ? 1 : 0;
    inside = word;
  }
  return words;
}

Value format(Machine& machine, const Bound& bound) {
  const Arguments& rest = bound.rest();
  if (!rest.positional.empty() && !rest.named.empty()) {
    throw Failure(FailureKind::kType, "can't handle positional and keyword arguments at the same time");
  }
  if (rest.named.empty()) {
    return percent_format(soft(machine, bound), Value::tuple(rest.positional), machine.budget);
  }
  auto mapping = std::make_shared<Mapping>();
  for (const auto& [name, value] : rest.named) mapping->set(name, value);
  return percent_format(soft(machine, bound), mapping, machine.budget);
}

}  // namespace

std::span<const Builtin> text_filters() {
  static const std::array<Builtin, 18> table = {{
      {"capitalize", {"s"}, 1, [](Machine& m, const Bound& b) -> Value { return capitalize(soft(m, b)); }},
      {"center",
       {"value", "width"},
       1,
       [](Machine& m, const Bound& b) -> Value {
         return justified(soft(m, b), b.integer(1, 80), Side::kBoth, " ", m.budget);
       }},
      {"e", {"s"}, 1, escape},
      {"escape", {"s"}, 1, escape},
      {"format", {"value", "*"}, 1, format},
      {"indent", {"s", "width", "first", "blank"}, 1, indent},
      {"lower", {"s"}, 1, [](Machine& m, const Bound& b) -> Value { return lower(soft(m, b)); }},
      {"replace",
       {"s", "old", "new", "count"},
       3,
       [](Machine& m, const Bound& b) -> Value {
         return replaced(soft(m, b), str(b[1], m.budget), str(b[2], m.budget), b.integer(3, -1), m.budget);
       }},
      {"safe", {"value"}, 1, [](Machine& m, const Bound& b) -> Value { return soft(m, b); }},
      {"string", {"s"}, 1, [](Machine& m, const Bound& b) -> Value { return soft(m, b); }},
      {"striptags",
       {"value"},
       1,
       [](Machine&, const Bound&) -> Value {
         throw Failure(FailureKind::kUnsupported, "striptags: chat templates have no HTML");
       }},
      {"title", {"s"}, 1, title},
      {"trim",
       {"value", "chars"},
       1,
       [](Machine& m, const Bound& b) -> Value {
         return strip(soft(m, b), Side::kBoth, b.has(1) && !b[1].is_none() ? &b.text(1) : nullptr);
       }},
      {"truncate", {"s", "length", "killwords", "end", "leeway"}, 1, truncate},
      {"upper", {"s"}, 1, [](Machine& m, const Bound& b) -> Value { return upper(soft(m, b)); }},
      {"urlencode", {"value"}, 1, urlencode},
      {"wordcount", {"s"}, 1, wordcount},
      {"forceescape", {"value"}, 1, escape},
  }};
  return table;
}

}  // namespace loraxs::jinja
