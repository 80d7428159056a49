#include "commands/task_section.h"

#include <filesystem>

#include "io/error.h"
#include "io/fields.h"
#include "io/yaml.h"

namespace loraxs {

Task task_of(const TaskOptions& options, const std::vector<std::string>& labels) {
  nlohmann::json section = {{"name", options.name}};
  const bool own = options.name == "classification" || options.name == "regression" ||
                   (is_language_task(options.name) && !std::filesystem::is_directory(options.data));
  section[own ? "validation" : "data"] = options.data;
  if (own && !labels.empty()) section["labels"] = labels;
  for (const auto& [key, column] :
       {std::pair{"text", options.text}, {"text_pair", options.text_pair}, {"label", options.label}}) {
    if (!column.empty()) section[key] = column;
  }
  if (options.limit > 0) section["max_validation_examples"] = options.limit;
  for (const std::string& assignment : options.set) {
    const size_t equals = assignment.find('=');
    if (equals == std::string::npos) throw Error(concat("--set ", assignment, ": expected key=value"));
    section[assignment.substr(0, equals)] = parse_yaml(assignment.substr(equals + 1), "--set " + assignment);
  }
  Fields fields(section, "command line", "task");
  return load_task(fields, std::filesystem::current_path());
}

}  // namespace loraxs
