// data/chat_record.h: a record of any usual shape as one conversation.
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/example.h"

namespace loraxs {

enum class NeedsAnswer { kYes, kNo };

/// The conversation of a record. Shapes, one of them in each record:
///
/// - turns under `messages`, `conversations` or `conversation`, or a list of turns by itself (data/chat_turns.h);
/// - a question with its answer: `prompt` (a text or turns) with `completion`, `completions`, `chosen` or `response`;
///   `instruction` (and `input` or `context`) with `output` or `response`; `question` or `query` with `answer` or
///   `response`; and `history`, pairs of earlier questions and answers.
///
/// Beside them `system` (or `system_prompt`), `tools` (a list, or JSON text of one; or OpenAI's `functions`),
/// `documents` and `chat_template_kwargs`. A key that would change the prompt and has no place in the record's shape is
/// an error with its name; other keys (id, source, score, …) say nothing about the conversation and are left alone.
/// `where` begins errors. kNo: a record that ends with a question will do.
Example read_chat_record(const nlohmann::ordered_json& record, const std::string& where, NeedsAnswer needs_answer);

/// A question and its answer as a conversation, with what stands beside them in `record`: system, history, tools.
Example pair_conversation(const nlohmann::ordered_json& record, const std::string& question, const std::string& answer,
                          const std::string& where);

/// A record's system turn; empty: none. Throws Error for two of them, and for what is no text.
std::string record_system(const nlohmann::ordered_json& record, const std::string& where);

/// Throws Error naming a key of `record` that would change a conversation's prompt (a system turn, history, tools,
/// images, …) and is not among `used`. `hint` says what to do.
void refuse_context(const nlohmann::ordered_json& record, const std::vector<std::string>& used,
                    const std::string& where, const std::string& hint);

}  // namespace loraxs
