// Filters that make a text of a text: jinja2/filters.py 3.1.
#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>

#include "io/error.h"
#include "text/jinja/builtin.h"
#include "text/jinja/machine.h"
#include "text/jinja/operators.h"
#include "text/jinja/percent_format.h"
#include "text/jinja/python_text.h"
#include "text/jinja/text_builder.h"
#include "text/jinja/text_form.h"
#include "text/jinja/unicode.h"

namespace loraxs::jinja {
namespace {

Text soft(Machine& machine, const Bound& bound) { return str(bound[0], machine.budget); }

Value indent(Machine& machine, const Bound& bound) {
  if (bound[0].text() == nullptr) {
    if (bound[0].is_undefined()) fail_undefined(bound[0]);
    throw Failure(FailureKind::kType, concat("expected a text to indent, found '", bound[0].type_name(), "'"));
  }
  const Value width = bound.value(1, 4);
  const Value space = width.text() != nullptr ? width : arithmetic(" ", "*", bound.integer(1, 4), machine.budget);
  const bool blank = bound.truth(3, false);
  const std::string_view text = bound.walked(0, machine.budget);
  TextBuilder out(machine.budget);
  if (bound.truth(2, false)) out.append(*space.text());
  for (size_t begin = 0;;) {  // the lines of text + "\n"
    const auto [end, next] = line_end(text, begin);
    if (begin > 0 && (blank || end > begin)) out.append(*space.text());
    out.append(text.substr(begin, end - begin));
    const bool last = end == text.size() || (next == text.size() && text[end] == '\r');
    if (last) return out.take();
    out.append('\n');
    begin = next;
  }
}

Value escape(Machine& machine, const Bound& bound) {
  const Text text = soft(machine, bound);
  machine.budget.walk(text->size());
  TextBuilder out(machine.budget);
  size_t plain = 0;
  for (size_t at = text->find_first_of("&<>\"'"); at != std::string::npos; at = text->find_first_of("&<>\"'", plain)) {
    const char c = (*text)[at];
    out.append(std::string_view(*text).substr(plain, at - plain));
    out.append(c == '&' ? "&amp;" : c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '"' ? "&#34;" : "&#39;");
    plain = at + 1;
  }
  out.append(std::string_view(*text).substr(plain));
  return out.take();
}

Value title_words(Machine& machine, const Bound& bound) {
  static constexpr std::u32string_view kBefore = U"-({[<";
  const Text whole = soft(machine, bound);
  const std::string_view text = *whole;
  machine.budget.walk(text.size());
  TextBuilder out(machine.budget);
  const auto add_word = [&](std::string_view word) {
    if (word.empty()) return;
    machine.budget.step(4);
    const size_t first = char_bytes(word.front());
    out.append(*upper(std::string(word.substr(0, first)), machine.budget));
    out.append(*lower(std::string(word.substr(first)), machine.budget));
  };
  size_t word = 0;  // where it begins
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const char32_t c = next_char(text, at);
    if (!is_space(c) && kBefore.find(c) == std::u32string_view::npos) continue;
    add_word(text.substr(word, begin - word));
    out.append(text.substr(begin, at - begin));
    word = at;
  }
  add_word(text.substr(word));
  return out.take();
}

Value truncate(Machine& machine, const Bound& bound) {
  const std::string_view text = bound.walked(0, machine.budget);
  const Text end = bound.has(3) ? bound.text(3) : Text("...");
  constexpr int64_t kMost = int64_t{1} << 40;
  const int64_t most = std::min(bound.integer(1, 255), kMost), leeway = std::min(bound.integer(4, 5), kMost);
  const int64_t size = length(*end);
  if (most < size || leeway < 0)
    throw Failure(FailureKind::kValue, concat("expected length >= ", size, ", got ", most));
  if (length(text) <= most + leeway) return bound[0];
  std::string_view kept = text.substr(0, byte_offset(text, most - size));
  if (!bound.truth(2, false)) kept = kept.substr(0, kept.rfind(' '));
  TextBuilder out(machine.budget);
  out.append(kept);
  out.append(*end);
  return out.take();
}

Value urlencode(Machine& machine, const Bound& bound) {
  if (bound[0].mapping() != nullptr || bound[0].items() != nullptr) {
    throw Failure(FailureKind::kUnsupported, "urlencode of a list or dict");
  }
  static constexpr std::string_view kSafe = "_.-~/", kDigits = "0123456789ABCDEF";
  const Text text = soft(machine, bound);
  machine.budget.walk(text->size());
  TextBuilder out(machine.budget);
  for (const char c : *text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x80 && std::isalnum(byte) != 0) || kSafe.find(c) != std::string_view::npos) {
      out.append(c);
    } else {
      const std::array<char, 3> escaped = {'%', kDigits[byte >> 4], kDigits[byte & 15]};
      out.append(std::string_view(escaped.data(), escaped.size()));
    }
  }
  return out.take();
}

Value wordcount(Machine& machine, const Bound& bound) {
  const Text text = soft(machine, bound);
  machine.budget.walk(text->size());
  int64_t words = 0;
  bool inside = false;
  for (size_t at = 0; at < text->size();) {
    const char32_t c = next_char(*text, at);
    const bool word = c == '_' || is_alnum(c);
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
    machine.budget.list(static_cast<int64_t>(rest.positional.size()));
    return percent_format(*soft(machine, bound), Value::tuple(rest.positional), machine.budget);
  }
  auto mapping = std::make_shared<Mapping>();
  for (const auto& [name, value] : rest.named) {
    machine.budget.entry(static_cast<int64_t>(mapping->size()));
    mapping->set(name, value);
  }
  return percent_format(*soft(machine, bound), mapping, machine.budget);
}

}  // namespace

std::span<const Builtin> text_filters() {
  static const std::array<Builtin, 18> table = {{
      {"capitalize", {"s"}, 1, [](Machine& m, const Bound& b) -> Value { return capitalize(soft(m, b), m.budget); }},
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
      {"lower", {"s"}, 1, [](Machine& m, const Bound& b) -> Value { return lower(soft(m, b), m.budget); }},
      {"replace",
       {"s", "old", "new", "count"},
       3,
       [](Machine& m, const Bound& b) -> Value {
         return replaced(soft(m, b), *str(b[1], m.budget), *str(b[2], m.budget), b.integer(3, -1), m.budget);
       }},
      {"safe", {"value"}, 1, [](Machine& m, const Bound& b) -> Value { return soft(m, b); }},
      {"string", {"s"}, 1, [](Machine& m, const Bound& b) -> Value { return soft(m, b); }},
      {"striptags",
       {"value"},
       1,
       [](Machine&, const Bound&) -> Value {
         throw Failure(FailureKind::kUnsupported, "striptags: chat templates have no HTML");
       }},
      {"title", {"s"}, 1, title_words},
      {"trim",
       {"value", "chars"},
       1,
       [](Machine& m, const Bound& b) -> Value {
         return strip(soft(m, b), Side::kBoth, b.has(1) && !b[1].is_none() ? &*b.text(1) : nullptr, m.budget);
       }},
      {"truncate", {"s", "length", "killwords", "end", "leeway"}, 1, truncate},
      {"upper", {"s"}, 1, [](Machine& m, const Bound& b) -> Value { return upper(soft(m, b), m.budget); }},
      {"urlencode", {"value"}, 1, urlencode},
      {"wordcount", {"s"}, 1, wordcount},
      {"forceescape", {"value"}, 1, escape},
  }};
  return table;
}

}  // namespace loraxs::jinja
