#include "text/jinja/text_form.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "io/error.h"
#include "text/jinja/operators.h"
#include "text/jinja/unicode.h"

namespace loraxs::jinja {
namespace {

void append_hex(std::string& out, const char* prefix, uint32_t number, int digits) {
  std::array<char, 16> buffer;
  std::snprintf(buffer.data(), buffer.size(), "%s%0*x", prefix, digits, number);
  out += buffer.data();
}

std::string text_repr(const std::string& text) {
  const char quote = text.find('\'') != std::string::npos && text.find('"') == std::string::npos ? '"' : '\'';
  std::string out(1, quote);
  for (const char32_t c : code_points(text)) {
    if (c == static_cast<char32_t>(quote) || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (is_printable(c)) {
      append_utf8(out, c);
    } else if (c < 0x100) {
      append_hex(out, "\\x", c, 2);
    } else if (c < 0x10000) {
      append_hex(out, "\\u", c, 4);
    } else {
      append_hex(out, "\\U", c, 8);
    }
  }
  return out + quote;
}

class JsonWriter {
 public:
  JsonWriter(const JsonStyle& style, Budget& budget) : style_(style), budget_(budget) {}

  void write(const Value& value, int level) {
    const Budget::Level guard(budget_);
    const size_t before = out.size();
    if (value.is_none()) {
      out += "null";
    } else if (const auto* flag = value.get<bool>()) {
      out += *flag ? "true" : "false";
    } else if (value.number()) {
      out += number(value);
    } else if (value.text() != nullptr) {
      write_text(*value.text());
    } else if (value.items(Items::Kind::kList) || value.items(Items::Kind::kTuple)) {
      write_all(*value.items()->values, '[', ']', level, [&](const Value& element) { write(element, level + 1); });
    } else if (value.mapping() != nullptr) {
      auto entries = value.mapping()->entries;
      if (style_.sort_keys) {
        std::stable_sort(entries.begin(), entries.end(),
                         [&](const auto& a, const auto& b) { return compare(a.first, b.first, "<", budget_) < 0; });
      }
      write_all(entries, '{', '}', level, [&](const auto& entry) {
        write_text(key(entry.first));
        out += style_.key_separator;
        write(entry.second, level + 1);
      });
    } else {
      throw Failure(FailureKind::kType, concat("Object of type ", value.type_name(), " is not JSON serializable"));
    }
    budget_.text(static_cast<int64_t>(out.size() - before));
  }

  std::string out;

 private:
  static std::string number(const Value& value) {
    if (const auto whole = value.integer()) return std::to_string(*whole);
    const double real = *value.get<double>();
    if (std::isnan(real)) return "NaN";
    if (std::isinf(real)) return real < 0 ? "-Infinity" : "Infinity";
    return float_repr(real);
  }

  static std::string key(const Value& value) {
    if (value.text() != nullptr) return *value.text();
    if (value.is_none()) return "null";
    if (const auto* flag = value.get<bool>()) return *flag ? "true" : "false";
    return number(value);
  }

  template <typename Elements, typename Write>
  void write_all(const Elements& elements, char open, char close, int level, Write write_element) {
    const auto new_line = [&](int depth) {
      if (!style_.indent) return;
      out += '\n';
      for (int i = 0; i < depth; ++i) out += *style_.indent;
    };
    out += open;
    for (size_t i = 0; i < elements.size(); ++i) {
      if (i > 0) out += style_.item_separator;
      new_line(level + 1);
      write_element(elements[i]);
    }
    if (!elements.empty()) new_line(level);
    out += close;
  }

  void write_text(const std::string& text) {
    out += '"';
    for (const char32_t c : code_points(text)) {
      const auto* found = std::find_if(kShort.begin(), kShort.end(), [&](const auto& s) { return s.first == c; });
      if (found != kShort.end()) {
        out += '\\';
        out += found->second;
      } else if (c < 0x20 || (style_.ensure_ascii && c > 0x7E && c < 0x10000)) {
        append_hex(out, "\\u", c, 4);
      } else if (style_.ensure_ascii && c >= 0x10000) {
        append_hex(out, "\\u", 0xD800 + ((c - 0x10000) >> 10), 4);
        append_hex(out, "\\u", 0xDC00 + ((c - 0x10000) & 0x3FF), 4);
      } else {
        append_utf8(out, c);
      }
    }
    out += '"';
  }

  static constexpr std::array<std::pair<char32_t, char>, 7> kShort = {
      {{'"', '"'}, {'\\', '\\'}, {'\n', 'n'}, {'\r', 'r'}, {'\t', 't'}, {'\f', 'f'}, {'\b', 'b'}}};
  const JsonStyle& style_;
  Budget& budget_;
};

std::string joined(const std::string& open, const Values& values, const std::string& close, Budget& budget) {
  std::string out = open;
  for (size_t i = 0; i < values.size(); ++i) out += (i > 0 ? ", " : "") + repr(values[i], budget);
  return out + close;
}

std::string repr_of(const Value& value, Budget& budget) {
  if (value.is_undefined()) return "Undefined";
  if (value.is_none()) return "None";
  if (const auto* flag = value.get<bool>()) return *flag ? "True" : "False";
  if (const auto whole = value.integer()) return std::to_string(*whole);
  if (const auto* real = value.get<double>()) return float_repr(*real);
  if (value.text() != nullptr) return text_repr(*value.text());
  if (const Items* items = value.items()) {
    if (items->kind == Items::Kind::kList) return joined("[", *items->values, "]", budget);
    if (items->kind == Items::Kind::kTuple)
      return joined("(", *items->values, items->values->size() == 1 ? ",)" : ")", budget);
    if (items->kind == Items::Kind::kView) return joined(items->form + "([", *items->values, "])", budget);
    return items->form;
  }
  if (const Mapping* mapping = value.mapping()) {
    std::string out = "{";
    for (const auto& [key, element] : mapping->entries) {
      out += (out.size() > 1 ? ", " : "") + repr(key, budget) + ": " + repr(element, budget);
    }
    return out + "}";
  }
  return "<" + value.type_name() + ">";
}

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

std::string repr(const Value& value, Budget& budget) {
  const Budget::Level guard(budget);
  std::string text = repr_of(value, budget);
  budget.text(static_cast<int64_t>(text.size()));
  return text;
}

std::string str(const Value& value, Budget& budget) {
  if (value.text() != nullptr) return *value.text();
  if (value.is_undefined()) return "";
  return repr(value, budget);
}

std::string to_json(const Value& value, const JsonStyle& style, Budget& budget) {
  JsonWriter writer(style, budget);
  writer.write(value, 0);
  return writer.out;
}

}  // namespace loraxs::jinja
