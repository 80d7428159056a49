#include <algorithm>
#include <cctype>

#include "data/task.h"
#include "data/tasks/chat.h"
#include "data/tasks/classification.h"
#include "data/tasks/glue.h"
#include "data/tasks/records.h"
#include "data/tasks/text.h"
#include "io/error.h"
#include "io/json.h"

namespace loraxs {
namespace {

/// "STS-B", "sts_b" and "stsb" are one task.
std::string plain_name(const std::string& name) {
  std::string plain;
  for (const char c : name) {
    if (c != '-' && c != '_') plain += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return plain;
}

Task load_named(const std::string& name, Fields& fields, const std::filesystem::path& base, MissingFiles missing,
                Splits splits) {
  if (name == "classification") return load_classification(fields, base, missing);
  if (name == "regression") return load_regression(fields, base, missing);
  if (name == "chat") return load_chat(fields, base, missing);
  if (name == "text") return load_text(fields, base, missing);
  if (is_record_task(name)) return load_records(name, fields, base, missing, splits);
  return load_glue(name, fields, base, missing, splits);
}

void keep_first(std::vector<Example>& examples, int64_t most) {
  if (most > 0 && most < static_cast<int64_t>(examples.size())) examples.resize(most);
}

}  // namespace

bool leaves_empty(const std::filesystem::path& path, MissingFiles missing) {
  return missing == MissingFiles::kLeaveEmpty && !std::filesystem::exists(path);
}

MissingFiles beside_train(const Task& task, MissingFiles missing) {
  return task.train.empty() ? missing : MissingFiles::kError;
}

std::string known_task(const std::string& name) {
  // As papers and the folders of LLM-Adapters call them.
  static constexpr std::pair<const char*, const char*> kAlso[] = {
      {"arce", "arc_easy"}, {"arcc", "arc_challenge"}, {"obqa", "openbookqa"}, {"socialiqa", "siqa"}};
  const std::string plain = plain_name(name);
  for (const auto& [also, known] : kAlso) {
    if (plain == also) return known;
  }
  for (const std::string& known : task_names()) {
    if (plain == plain_name(known)) return known;
  }
  return "";
}

bool is_language_task(const std::string& name) {
  const std::string known = known_task(name);
  return known == "chat" || known == "text" || is_record_task(known);
}

std::vector<std::string> task_names() {
  std::vector<std::string> names(glue_names().begin(), glue_names().end());
  names.insert(names.end(), {"classification", "regression", "chat", "text"});
  for (const char* name : record_task_names()) names.emplace_back(name);
  return names;
}

Task task_of_examples(Fields& fields, const nlohmann::ordered_json& examples, const std::string& where) {
  const std::string name = fields.choice("name", "", {"classification", "regression", "chat", "text"});
  if (!examples.is_array() || examples.empty()) {
    throw Error(concat(where, ": expected a list of examples, found ", shortened(json_text(examples), 40)));
  }
  Task task;
  if (name == "chat") {
    task = chat_of(examples, fields, where);
  } else if (name == "text") {
    task = text_of(examples, fields, where);
  } else {
    Table table = parse_table(json_text(examples), where + ".json", /*header=*/true);
    table.where = where;
    task = name == "regression" ? regression_of(table, fields) : classification_of(table, fields);
  }
  fields.finish();
  return task;
}

Task load_task(Fields& fields, const std::filesystem::path& base, MissingFiles missing, Splits splits) {
  const std::vector<std::string> known = task_names();
  std::string name = known_task(fields.text("name", ""));
  if (name.empty()) name = fields.choice("name", "", known);
  if (name.empty()) {
    std::string all;
    for (const std::string& task : known) all += (all.empty() ? "" : ", ") + task;
    fields.fail("name", "expected one of " + all + ", found none");
  }
  Task task = load_named(name, fields, base, missing, splits);
  keep_first(task.train, fields.non_negative_int("max_train_examples", 0));
  keep_first(task.validation, fields.non_negative_int("max_validation_examples", 0));
  fields.finish();
  return task;
}

}  // namespace loraxs
