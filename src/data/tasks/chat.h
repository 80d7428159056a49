// data/tasks/chat.h: conversations, of which a model learns what the assistant said.
#pragma once
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "data/task.h"

namespace loraxs {

/// `train`, `validation`: .jsonl or .json with a conversation in each record (data/chat_record.h). `train_on: answers |
/// all | last`, `on_error: stop | skip`. A conversation without an answer to learn is damaged.
Task load_chat(Fields& fields, const std::filesystem::path& base, MissingFiles missing);
/// The same of records that are at hand, a list, from which `validation` may hold out a part.
Task chat_of(const nlohmann::ordered_json& records, Fields& fields, const std::string& where);

}  // namespace loraxs
