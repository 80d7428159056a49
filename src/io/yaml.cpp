#include "io/yaml.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <map>
#include <optional>
#include <sstream>
#include <vector>

#include "io/error.h"
#include "io/input_file.h"
#include "io/json.h"
#include "io/text_file.h"

namespace loraxs {
namespace {

constexpr size_t kMostBytes = size_t{1} << 20, kMostLevels = 100, kMostValues = 100'000;

/// A plain YAML scalar by the core schema.
nlohmann::json scalar_value(const std::string& text) {
  if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL") return nullptr;
  if (text == "true" || text == "True" || text == "TRUE") return true;
  if (text == "false" || text == "False" || text == "FALSE") return false;
  const char *begin = text.data() + (text[0] == '+' ? 1 : 0), *end = text.data() + text.size();
  int64_t integer = 0;
  if (auto [at, code] = std::from_chars(begin, end, integer); code == std::errc() && at == end) return integer;
  double number = 0;
  const bool numeric = std::isdigit(static_cast<unsigned char>(*begin)) || *begin == '-' || *begin == '.';
  const bool named = text.find_first_of("nN") != std::string::npos;  // -inf, -nan: no numbers of the core schema
  if (auto [at, code] = std::from_chars(begin, end, number); numeric && !named && code == std::errc() && at == end) {
    return number;
  }
  return text;
}

size_t count_values(const nlohmann::json& value) {
  if (!value.is_structured()) return 1;
  size_t count = 1;
  for (const nlohmann::json& item : value) count += count_values(item);
  return count;
}

size_t count_levels(const nlohmann::json& value) {
  if (!value.is_structured()) return 0;
  size_t levels = 0;
  for (const nlohmann::json& item : value) levels = std::max(levels, count_levels(item));
  return levels + 1;
}

/// Builds a value from the parser's events. An alias is a copy of what its anchor holds, counted before it is made.
class YamlBuilder : public YAML::EventHandler {
 public:
  explicit YamlBuilder(const std::string& where) : where_(where) {}

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { add(mark, anchor, nullptr); }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    if (value.find('\0') != std::string::npos) refuse(mark, "expected text, found a zero byte in it");
    const bool text = tag == "!" || tag.ends_with(":str") || waits_for_key();
    add(mark, anchor, text ? nlohmann::json(value) : scalar_value(value));
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) refuse(mark, "expected a value, found an alias inside what it stands for");
    charge(mark, found->second.values);
    if (open_.size() + found->second.levels > kMostLevels) refuse_depth(mark);
    add(mark, YAML::NullAnchor, found->second.value);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    start(mark, anchor, nlohmann::json::array());
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    start(mark, anchor, nlohmann::json::object());
  }
  void OnMapEnd() override { close(); }

  nlohmann::json take() { return std::move(root_); }

 private:
  struct Open {
    nlohmann::json value;
    std::optional<std::string> key;  // of an object: waits for its value
    YAML::Mark mark;
    YAML::anchor_t anchor;
  };
  struct Anchored {
    nlohmann::json value;
    size_t values, levels;
  };

  [[noreturn]] void refuse(const YAML::Mark& mark, const std::string& problem) const {
    throw Error(concat(where_, ":", mark.line + 1, ": ", problem));
  }
  [[noreturn]] void refuse_depth(const YAML::Mark& mark) const {
    refuse(mark, concat("expected YAML nested at most ", kMostLevels, " deep, found more"));
  }

  bool waits_for_key() const { return !open_.empty() && open_.back().value.is_object() && !open_.back().key; }

  void charge(const YAML::Mark& mark, size_t values) {
    num_values_ += values;
    if (num_values_ <= kMostValues) return;
    refuse(mark, concat("expected at most ", kMostValues, " values, aliases included, found more"));
  }

  void start(const YAML::Mark& mark, YAML::anchor_t anchor, nlohmann::json value) {
    if (open_.size() >= kMostLevels) refuse_depth(mark);
    open_.push_back({.value = std::move(value), .mark = mark, .anchor = anchor});
  }

  void close() {
    Open done = std::move(open_.back());
    open_.pop_back();
    add(done.mark, done.anchor, std::move(done.value));
  }

  void add(const YAML::Mark& mark, YAML::anchor_t anchor, nlohmann::json value) {
    charge(mark, 1);
    if (anchor != YAML::NullAnchor) {
      const size_t values = count_values(value);
      charge(mark, values);  // the copy that is kept
      anchors_[anchor] = {.value = value, .values = values, .levels = count_levels(value)};
    }
    if (open_.empty()) {
      root_ = std::move(value);
    } else if (open_.back().value.is_array()) {
      open_.back().value.push_back(std::move(value));
    } else if (std::optional<std::string>& name = open_.back().key) {
      open_.back().value[*name] = std::move(value);
      name.reset();
    } else {
      if (!value.is_string()) refuse(mark, concat("expected a text as key, found ", value.type_name()));
      const auto& key = value.get_ref<const std::string&>();
      if (open_.back().value.contains(key)) refuse(mark, concat(key, " stands twice in one object"));
      open_.back().key = key;
    }
  }

  const std::string& where_;
  std::vector<Open> open_;
  std::map<YAML::anchor_t, Anchored> anchors_;
  nlohmann::json root_;
  size_t num_values_ = 0;
};

}  // namespace

nlohmann::json parse_yaml(const std::string& text, const std::string& where) {
  if (text.size() > kMostBytes) {
    throw Error(concat(where, ": expected YAML of at most ", kMostBytes >> 20, " MB, found ", text.size(), " bytes"));
  }
  check_utf8(text, where);
  // yaml-cpp takes zero bytes for a sign of UTF-16 or UTF-32, and gives out what is no UTF-8 then.
  if (const size_t zero = text.find('\0'); zero != std::string::npos) {
    const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(zero), '\n');
    throw Error(concat(where, ":", line, ": expected text in UTF-8, found a zero byte"));
  }
  std::istringstream stream(text);
  YamlBuilder builder(where);
  try {
    YAML::Parser(stream).HandleNextDocument(builder);
  } catch (const YAML::Exception& error) {
    throw Error(concat(where, ":", error.mark.line + 1, ": expected YAML, found something else (",
                       shortened(error.msg, 200), ")"));
  }
  return builder.take();
}

nlohmann::json read_yaml(const std::filesystem::path& path) {
  return parse_yaml(read_file(path, kMostBytes), path.string());
}

std::string yaml_scalar(const std::string& text) {
  const auto plain = [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '.' || c == '/' || c == '-';
  };
  std::string lower = text;
  std::transform(text.begin(), text.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
  // YAML 1.1 has more booleans than 1.2, and both have numbers that begin with a dot.
  constexpr std::array kWords = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"};
  const bool word = std::find(kWords.begin(), kWords.end(), lower) != kWords.end();
  const bool begins = !text.empty() && (std::isalpha(static_cast<unsigned char>(text[0])) != 0 || text[0] == '/' ||
                                        text.starts_with("./") || text.starts_with("../"));
  return begins && !word && std::all_of(text.begin(), text.end(), plain) ? text : json_text(nlohmann::json(text));
}

std::string yaml_flow(const nlohmann::json& value) {
  if (value.is_string()) return yaml_scalar(value.get<std::string>());
  if (!value.is_object()) return json_text(value);
  std::string text;
  const auto add = [&](const std::string& key, const nlohmann::json& inner) {
    text += concat(text.empty() ? "" : ", ", yaml_scalar(key), ": ", yaml_flow(inner));
  };
  if (value.contains("name")) add("name", value.at("name"));
  for (const auto& [key, inner] : value.items()) {
    if (key != "name") add(key, inner);
  }
  return "{" + text + "}";
}

}  // namespace loraxs
