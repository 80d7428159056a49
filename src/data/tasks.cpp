#include <nlohmann/json.hpp>

#include "data/task.h"
#include "data/tasks/classification.h"
#include "data/tasks/qnli.h"
#include "io/error.h"

namespace loraxs {
namespace {

struct TaskEntry {
  const char* name;
  Task (*load)(Fields& fields, const std::filesystem::path& base);
};

constexpr TaskEntry kTasks[] = {
    {"qnli", load_qnli},
    {"classification", load_classification},
    {"regression", load_regression},
};

}  // namespace

std::vector<std::string> task_names() {
  std::vector<std::string> names;
  for (const TaskEntry& entry : kTasks) names.emplace_back(entry.name);
  return names;
}

Task load_task(Fields& fields, const std::filesystem::path& base) {
  const std::string name = fields.choice("name", "", task_names());
  if (name.empty()) {
    std::string known;
    for (const std::string& task : task_names()) known += (known.empty() ? "" : ", ") + task;
    fields.fail("name", "expected one of " + known + ", found none");
  }
  for (const TaskEntry& entry : kTasks) {
    if (name != entry.name) continue;
    Task task = entry.load(fields, base);
    fields.finish();
    return task;
  }
  throw Error("unreachable");
}

Example parse_prediction_line(const std::string& text, const std::string& where, int64_t line) {
  Example example;
  if (text.starts_with('{')) {
    const auto object = nlohmann::ordered_json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!object.is_object())
      throw Error(concat(where, ":", line, ": expected a JSON object, found ", text.substr(0, 60)));
    std::vector<std::string> texts;
    for (const auto& [key, value] : object.items()) {
      if (value.is_string() && key != "label") texts.push_back(value.get<std::string>());
    }
    if (texts.empty() || texts.size() > 2) {
      throw Error(concat(where, ":", line, ": expected one or two texts in the object, found ", texts.size()));
    }
    example.first = texts[0];
    if (texts.size() == 2) example.second = texts[1];
  } else {
    const size_t tab = text.find('\t');
    example.first = text.substr(0, tab);
    if (tab != std::string::npos) example.second = text.substr(tab + 1);
  }
  if (example.first.find_first_not_of(" \t") == std::string::npos) {
    throw Error(concat(where, ":", line, ": expected a sentence, found an empty line"));
  }
  return example;
}

}  // namespace loraxs
