// data/tasks/chat.h: conversations, of which a model learns what the assistant said.
#pragma once
#include <filesystem>

#include "data/task.h"

namespace loraxs {

/// `train`, `validation`: .jsonl or .json with `messages` ({role, content}) or ShareGPT's `conversations` ({from:
/// human | gpt | system | tool, value}). `train_on: answers | all | last`, `on_error: stop | skip`. A conversation
/// without an assistant's turn is damaged.
Task load_chat(Fields& fields, const std::filesystem::path& base, MissingFiles missing);

/// The messages of one record in the form of chat templates.
nlohmann::ordered_json record_messages(const nlohmann::ordered_json& record, const std::string& where);

}  // namespace loraxs
