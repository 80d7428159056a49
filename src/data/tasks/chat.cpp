#include "data/tasks/chat.h"

#include <algorithm>
#include <array>

#include "data/held_out.h"
#include "data/json_records.h"
#include "io/error.h"

namespace loraxs {
namespace {

using Json = nlohmann::ordered_json;

/// ShareGPT's names of who speaks.
std::string role_of(const std::string& from, const std::string& where) {
  static constexpr std::array<std::pair<const char*, const char*>, 8> kRoles = {{{"human", "user"},
                                                                                 {"user", "user"},
                                                                                 {"gpt", "assistant"},
                                                                                 {"assistant", "assistant"},
                                                                                 {"chatgpt", "assistant"},
                                                                                 {"system", "system"},
                                                                                 {"tool", "tool"},
                                                                                 {"observation", "tool"}}};
  for (const auto& [name, role] : kRoles) {
    if (from == name) return role;
  }
  throw Error(concat(where, ": from: expected human, gpt, system or tool, found \"", from, "\""));
}

}  // namespace

Json record_messages(const Json& record, const std::string& where) {
  const bool sharegpt = !record.contains("messages") && record.contains("conversations");
  const std::string key = sharegpt ? "conversations" : "messages";
  if (!record.contains(key) || !record[key].is_array()) {
    throw Error(concat(where, ": expected a list under messages or conversations, found ",
                       record.contains(key) ? record[key].type_name() : "none"));
  }
  Json messages = Json::array();
  for (const Json& turn : record[key]) {
    const std::string at = concat(where, ": ", key, "[", messages.size(), "]");
    if (!turn.is_object()) throw Error(concat(at, ": expected an object, found ", turn.type_name()));
    if (sharegpt) {
      messages.push_back(
          {{"role", role_of(record_text(turn, "from", at), at)}, {"content", record_text(turn, "value", at)}});
    } else {
      record_text(turn, "role", at);
      messages.push_back(turn);
    }
  }
  if (std::none_of(messages.begin(), messages.end(), [](const Json& turn) { return turn["role"] == "assistant"; })) {
    throw Error(concat(where, ": expected a turn of the assistant, found none"));
  }
  return messages;
}

Task load_chat(Fields& fields, const std::filesystem::path& base, MissingFiles missing) {
  const std::string train = fields.text("train", "");
  const ValidationSource validation = read_validation(fields, !train.empty());
  if (train.empty() && validation.file.empty()) fields.fail("train", "expected a .jsonl or .json file, found none");
  const std::string train_on = fields.choice("train_on", "answers", {"answers", "all", "last"});
  const OnError on_error = read_on_error(fields);
  Task task{.name = "chat", .kind = TaskKind::kLanguageModel, .metric = "loss"};
  task.train_on = train_on == "all" ? TrainOn::kAll : train_on == "last" ? TrainOn::kLast : TrainOn::kAnswers;
  const auto read = [&](const std::string& file) {
    if (leaves_empty(base / file, missing)) return std::vector<Example>();
    return read_examples(base / file, on_error, task.num_skipped, [](const Json& record, const std::string& where) {
      return Example{.messages = record_messages(record, where), .where = where};
    });
  };
  if (!train.empty()) task.train = read(train);
  if (!validation.file.empty()) task.validation = read(validation.file);
  hold_out(task, validation.part, fields);
  return task;
}

}  // namespace loraxs
