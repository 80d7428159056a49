#include "data/tasks/chat.h"

#include "data/chat_record.h"
#include "data/held_out.h"
#include "data/json_records.h"
#include "io/error.h"

namespace loraxs {
namespace {

Task empty_chat(Fields& fields) {
  const std::string train_on = fields.choice("train_on", "answers", {"answers", "all", "last"});
  Task task{.name = "chat", .kind = TaskKind::kLanguageModel, .metric = "loss"};
  task.train_on = train_on == "all" ? TrainOn::kAll : train_on == "last" ? TrainOn::kLast : TrainOn::kAnswers;
  return task;
}

}  // namespace

Task load_chat(Fields& fields, const std::filesystem::path& base, MissingFiles missing) {
  const std::string train = fields.text("train", "");
  const ValidationSource validation = read_validation(fields, !train.empty());
  if (train.empty() && validation.file.empty()) fields.fail("train", "expected a .jsonl or .json file, found none");
  Task task = empty_chat(fields);
  const OnError on_error = read_on_error(fields);
  const auto read = [&](const std::string& file, MissingFiles absent) {
    if (leaves_empty(base / file, absent)) return std::vector<Example>();
    return read_examples(base / file, on_error, task.num_skipped,
                         [](const nlohmann::ordered_json& record, const std::string& where) {
                           return read_chat_record(record, where, NeedsAnswer::kYes);
                         });
  };
  if (!train.empty()) task.train = read(train, missing);
  if (!validation.file.empty()) task.validation = read(validation.file, beside_train(task, missing));
  hold_out(task, validation.part, fields);
  return task;
}

Task chat_of(const nlohmann::ordered_json& records, Fields& fields, const std::string& where) {
  const ValidationSource validation = read_validation(fields, /*has_train=*/true);
  Task task = empty_chat(fields);
  task.train.reserve(records.size());
  for (size_t i = 0; i < records.size(); ++i) {
    task.train.push_back(read_chat_record(records[i], concat(where, "[", i, "]"), NeedsAnswer::kYes));
  }
  hold_out(task, validation.part, fields);
  return task;
}

}  // namespace loraxs
