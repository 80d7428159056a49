// How a recipe is written: as JSON, and as the commented YAML of `init` and of run folders. recipe.cpp reads.
#include "io/json.h"
#include "io/yaml.h"
#include "train/recipe.h"
#include "train/recipe_keys.h"

namespace loraxs {
namespace {

/// A list or text that is empty by default says "no choice", and so does a key without a value; [] would be read as a
/// mistake.
bool is_left_out(const nlohmann::json& value) {
  return value.is_null() || (value.is_array() && value.empty()) || (value.is_string() && value == "");
}

/// The recipe as JSON, every key with its value.
class Writer {
 public:
  explicit Writer(nlohmann::json& root) : sections_{&root} {}

  void open(const char* section) { sections_.push_back(&(*sections_.back())[section]); }
  void close() { sections_.pop_back(); }
  template <typename T, typename Allowed>
  void key(const char* name, const T& value, const Allowed&, const char* meaning) {
    key(name, value, meaning);
  }
  template <typename T>
  void key(const char* name, const T& value, const char*) {
    const nlohmann::json& json = value;  // converted, where it is none
    (*sections_.back())[name] = is_left_out(json) ? nlohmann::json() : json;
  }

 private:
  std::vector<nlohmann::json*> sections_;
};

/// The recipe as commented YAML, in the order of the list.
class Template {
 public:
  explicit Template(const std::set<std::string>& left_out) : left_out_(left_out) {}

  void open(const char* section) {
    text_ += indent() + section + ":\n";
    sections_.emplace_back(section);
  }
  void close() { sections_.pop_back(); }
  template <typename T, typename Allowed>
  void key(const char* name, const T& value, const Allowed&, const char* meaning) {
    key(name, value, meaning);
  }
  template <typename T>
  void key(const char* name, const T& value, const char* meaning) {
    const nlohmann::json& json = value;  // converted, where it is none
    std::string line = indent() + name + ":";
    if (!is_left_out(json) && !left_out_.contains(path_of(name))) line += " " + yaml_flow(json);
    constexpr size_t kCommentColumn = 44;
    if (line.size() < kCommentColumn) line.resize(kCommentColumn, ' ');
    text_ += line + " # " + meaning + "\n";
  }
  const std::string& text() const { return text_; }

 private:
  std::string indent() const { return std::string(2 * sections_.size(), ' '); }
  std::string path_of(const std::string& name) const {
    std::string path;
    for (const std::string& section : sections_) path += section + ".";
    return path + name;
  }
  const std::set<std::string>& left_out_;
  std::string text_;
  std::vector<std::string> sections_;
};

}  // namespace

nlohmann::json Recipe::to_json() const {
  nlohmann::json json = nlohmann::json::object();
  Recipe copy = *this;  // one list serves readers, which write, and writers, which read
  Writer writer(json);
  visit_recipe(copy, writer);
  return json;
}

std::string recipe_template(const Recipe& recipe, const std::set<std::string>& left_out) {
  Recipe copy = recipe;
  Template yaml(left_out);
  visit_recipe(copy, yaml);
  return yaml.text();
}

}  // namespace loraxs
