#include "text/jinja/text_form.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "io/error.h"
#include "text/jinja/operators.h"
#include "text/jinja/text_builder.h"
#include "text/jinja/unicode.h"

namespace loraxs::jinja {
namespace {

void append_hex(TextBuilder& out, const char* prefix, uint32_t number, int digits) {
  std::array<char, 16> buffer;
  std::snprintf(buffer.data(), buffer.size(), "%s%0*x", prefix, digits, number);
  out.append(std::string_view(buffer.data()));
}

/// Appends `text` with every code point that `escape` takes care of replaced by what it appends.
template <typename Escape>
void append_escaped(TextBuilder& out, std::string_view text, Budget& budget, Escape escape) {
  budget.walk(text.size());
  size_t plain = 0;  // begin of what goes unchanged
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const char32_t c = next_char(text, at);
    if (!escape.wants(c)) continue;
    out.append(text.substr(plain, begin - plain));
    escape.append(out, c);
    plain = at;
  }
  out.append(text.substr(plain));
}

struct ReprEscape {
  char quote;
  bool wants(char32_t c) const { return c == static_cast<char32_t>(quote) || c == '\\' || !is_printable(c); }
  void append(TextBuilder& out, char32_t c) const {
    if (c == static_cast<char32_t>(quote) || c == '\\') {
      out.append('\\');
      out.append(static_cast<char>(c));
    } else if (c == '\n') {
      out.append("\\n");
    } else if (c == '\r') {
      out.append("\\r");
    } else if (c == '\t') {
      out.append("\\t");
    } else if (c < 0x100) {
      append_hex(out, "\\x", c, 2);
    } else if (c < 0x10000) {
      append_hex(out, "\\u", c, 4);
    } else {
      append_hex(out, "\\U", c, 8);
    }
  }
};

struct JsonEscape {
  bool ensure_ascii;
  bool wants(char32_t c) const { return c == '"' || c == '\\' || c < 0x20 || (ensure_ascii && c > 0x7E); }
  void append(TextBuilder& out, char32_t c) const {
    static constexpr std::array<std::pair<char32_t, char>, 7> kShort = {
        {{'"', '"'}, {'\\', '\\'}, {'\n', 'n'}, {'\r', 'r'}, {'\t', 't'}, {'\f', 'f'}, {'\b', 'b'}}};
    const auto* found = std::find_if(kShort.begin(), kShort.end(), [&](const auto& s) { return s.first == c; });
    if (found != kShort.end()) {
      out.append('\\');
      out.append(found->second);
    } else if (c < 0x10000) {
      append_hex(out, "\\u", c, 4);
    } else {
      append_hex(out, "\\u", 0xD800 + ((c - 0x10000) >> 10), 4);
      append_hex(out, "\\u", 0xDC00 + ((c - 0x10000) & 0x3FF), 4);
    }
  }
};

class JsonWriter {
 public:
  JsonWriter(const JsonStyle& style, Budget& budget) : style_(style), budget_(budget), out_(budget) {}

  void write(const Value& value, int level) {
    const Budget::Level guard(budget_);
    if (value.is_none()) {
      out_.append("null");
    } else if (const auto* flag = value.get<bool>()) {
      out_.append(*flag ? "true" : "false");
    } else if (value.number()) {
      out_.append(number(value));
    } else if (value.text() != nullptr) {
      write_text(*value.text());
    } else if (value.items(Items::Kind::kList) || value.items(Items::Kind::kTuple)) {
      write_all(*value.items()->values, '[', ']', level, [&](const Value& element) { write(element, level + 1); });
    } else if (value.mapping() != nullptr) {
      write_mapping(*value.mapping(), level);
    } else {
      throw Failure(FailureKind::kType, concat("Object of type ", value.type_name(), " is not JSON serializable"));
    }
  }

  std::string take() { return out_.take(); }

 private:
  static std::string number(const Value& value) {
    if (const auto whole = value.integer()) return std::to_string(*whole);
    const double real = *value.get<double>();
    if (std::isnan(real)) return "NaN";
    if (std::isinf(real)) return real < 0 ? "-Infinity" : "Infinity";
    return float_repr(real);
  }

  void write_key(const Value& value) {
    if (value.text() != nullptr) {
      write_text(*value.text());
    } else if (value.is_none()) {
      write_text("null");
    } else if (const auto* flag = value.get<bool>()) {
      write_text(*flag ? "true" : "false");
    } else {
      write_text(number(value));
    }
  }

  void write_mapping(const Mapping& mapping, int level) {
    const auto write_entry = [&](const std::pair<Value, Value>& entry) {
      write_key(entry.first);
      out_.append(*style_.key_separator);
      write(entry.second, level + 1);
    };
    if (!style_.sort_keys) return write_all(mapping.entries(), '{', '}', level, write_entry);
    budget_.list(2 * static_cast<int64_t>(mapping.size()));
    auto entries = mapping.entries();
    std::stable_sort(entries.begin(), entries.end(),
                     [&](const auto& a, const auto& b) { return compare(a.first, b.first, "<", budget_) < 0; });
    write_all(entries, '{', '}', level, write_entry);
  }

  template <typename Entries, typename Write>
  void write_all(const Entries& elements, char open, char close, int level, Write write_element) {
    const auto new_line = [&](int depth) {
      if (!style_.indent) return;
      out_.append('\n');
      out_.append_repeated(**style_.indent, depth);
    };
    out_.append(open);
    for (size_t i = 0; i < elements.size(); ++i) {
      if (i > 0) out_.append(*style_.item_separator);
      new_line(level + 1);
      write_element(elements[i]);
    }
    if (!elements.empty()) new_line(level);
    out_.append(close);
  }

  void write_text(std::string_view text) {
    out_.append('"');
    append_escaped(out_, text, budget_, JsonEscape{style_.ensure_ascii});
    out_.append('"');
  }

  const JsonStyle& style_;
  Budget& budget_;
  TextBuilder out_;
};

class ReprWriter {
 public:
  explicit ReprWriter(Budget& budget) : budget_(budget), out_(budget) {}

  void write(const Value& value) {
    const Budget::Level guard(budget_);
    if (value.is_undefined()) {
      out_.append("Undefined");
    } else if (value.is_none()) {
      out_.append("None");
    } else if (const auto* flag = value.get<bool>()) {
      out_.append(*flag ? "True" : "False");
    } else if (const auto whole = value.integer()) {
      out_.append(std::to_string(*whole));
    } else if (const auto* real = value.get<double>()) {
      out_.append(float_repr(*real));
    } else if (value.text() != nullptr) {
      write_text(*value.text());
    } else if (value.items() != nullptr) {
      write_items(*value.items());
    } else if (value.mapping() != nullptr) {
      write_mapping(*value.mapping());
    } else {
      out_.append("<" + value.type_name() + ">");
    }
  }

  std::string take() { return out_.take(); }

 private:
  void write_text(std::string_view text) {
    budget_.read(2 * text.size());
    const bool single = text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos;
    const char quote = single ? '"' : '\'';
    out_.append(quote);
    append_escaped(out_, text, budget_, ReprEscape{quote});
    out_.append(quote);
  }

  void write_items(const Items& items) {
    const Values& values = *items.values;
    switch (items.kind) {
      case Items::Kind::kList:
        return write_all("[", values, "]");
      case Items::Kind::kTuple:
        return write_all("(", values, values.size() == 1 ? ",)" : ")");
      case Items::Kind::kView:
        return write_all(items.form + "([", values, "])");
      default:
        return out_.append(items.form);
    }
  }

  void write_all(std::string_view open, const Values& values, std::string_view close) {
    out_.append(open);
    for (size_t i = 0; i < values.size(); ++i) {
      if (i > 0) out_.append(", ");
      write(values[i]);
    }
    out_.append(close);
  }

  void write_mapping(const Mapping& mapping) {
    out_.append('{');
    for (const auto& entry : mapping.entries()) {
      if (&entry != &mapping.entries().front()) out_.append(", ");
      write(entry.first);
      out_.append(": ");
      write(entry.second);
    }
    out_.append('}');
  }

  Budget& budget_;
  TextBuilder out_;
};

}  // namespace

std::string float_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  std::array<char, 64> buffer;
  const auto end =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::scientific).ptr;
  std::string shortest(buffer.data(), end);  // -d.ddde±xx with the fewest digits that read back the same
  const int exponent = std::stoi(shortest.substr(shortest.find('e') + 1));
  if (exponent < -4 || exponent >= 16) return shortest;
  const auto fixed = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::fixed).ptr;
  std::string text(buffer.data(), fixed);
  return text.find('.') == std::string::npos ? text + ".0" : text;
}

Text repr(const Value& value, Budget& budget) {
  ReprWriter writer(budget);
  writer.write(value);
  return writer.take();
}

Text str(const Value& value, Budget& budget) {
  if (const Text* text = value.get<Text>()) return *text;
  return value.is_undefined() ? Text("") : repr(value, budget);
}

Text to_json(const Value& value, const JsonStyle& style, Budget& budget) {
  JsonWriter writer(style, budget);
  writer.write(value, 0);
  return writer.take();
}

}  // namespace loraxs::jinja
