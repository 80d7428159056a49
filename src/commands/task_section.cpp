#include "commands/task_section.h"

#include <algorithm>
#include <filesystem>

#include "adapt/adapter_file.h"
#include "api/adapters.h"
#include "api/store.h"
#include "data/tasks/records.h"
#include "io/error.h"
#include "io/fields.h"
#include "io/json.h"
#include "io/yaml.h"

namespace loraxs {
namespace {

/// Sub-folders by the set that their names mean: ARC-Easy is arc_easy.
std::vector<std::pair<std::string, std::filesystem::path>> set_folders(const std::filesystem::path& folder) {
  std::vector<std::pair<std::string, std::filesystem::path>> found;
  for (const char* set : commonsense_sets()) {
    std::vector<std::filesystem::path> folders;
    std::error_code code;
    for (std::filesystem::directory_iterator entry(folder, code), end; entry != end; entry.increment(code)) {
      std::error_code ignored;
      if (known_task(entry->path().filename().string()) == set && entry->is_directory(ignored))
        folders.push_back(entry->path());
    }
    if (folders.size() > 1) {
      throw Error(concat(folder.string(), ": expected one folder of ", set, ", found ", folders[0].filename().string(),
                         " and ", folders[1].filename().string()));
    }
    if (!folders.empty()) found.emplace_back(set, folders.front());
  }
  return found;
}

}  // namespace

Task task_of(const TaskOptions& options, const std::vector<std::string>& labels, Splits splits) {
  nlohmann::json section = {{"name", options.name}};
  const bool own = options.name == "classification" || options.name == "regression" ||
                   (is_language_task(options.name) && !std::filesystem::is_directory(options.data));
  section[own ? "validation" : "data"] = options.data;
  if (own && !labels.empty()) section["labels"] = labels;
  for (const auto& [key, column] :
       {std::pair{"text", options.text}, {"text_pair", options.text_pair}, {"label", options.label}}) {
    if (!column.empty()) section[key] = column;
  }
  if (options.limit > 0 && known_task(options.name) != "text") section["max_validation_examples"] = options.limit;
  for (const std::string& assignment : options.set) {
    const size_t equals = assignment.find('=');
    if (equals == std::string::npos) throw Error(concat("--set ", assignment, ": expected key=value"));
    section[assignment.substr(0, equals)] = parse_yaml(assignment.substr(equals + 1), "--set " + assignment);
  }
  Fields fields(section, "command line", "task");
  return load_task(fields, std::filesystem::current_path(), MissingFiles::kError, splits);
}

void check_task_name(const TaskOptions& options) {
  if (known_task(options.name).empty()) {
    Fields(nlohmann::json{{"--task", options.name}}, "command line").choice("--task", "", task_names());
  }
}

std::vector<std::string> adapter_labels(const std::string& adapter) {
  const AdapterFile file = load_adapter(files_of_adapter(adapter).front());
  Fields layout(parse_json(file.layout_json, file.path.string()), file.path.string(), "layout");
  layout.ignore_unknown();  // an empty list is that of a regression
  return layout.strings("labels", {});
}

EvalTasks eval_tasks(const TaskOptions& options) {
  const std::filesystem::path folder = options.data;
  const bool one = std::filesystem::exists(folder / "test.json") || std::filesystem::exists(folder / "test.json.gz");
  if (known_task(options.name) != "commonsense" || one || !std::filesystem::is_directory(folder))
    return {.tasks = {task_of(options, {})}};
  EvalTasks result{.several = true};
  const auto folders = set_folders(folder);
  if (folders.empty()) {
    throw Error(concat(options.data,
                       ": expected test.json, or folders of the sets (boolq, piqa, …, openbookqa) with one "
                       "each, found neither"));
  }
  for (const auto& [set, path] : folders) {
    TaskOptions mine = options;
    mine.name = set;
    mine.data = path.string();
    result.tasks.push_back(task_of(mine, {}));
  }
  for (const char* set : commonsense_sets()) {
    if (std::none_of(folders.begin(), folders.end(), [&](const auto& entry) { return entry.first == set; }))
      result.absent.emplace_back(set);
  }
  return result;
}

}  // namespace loraxs
