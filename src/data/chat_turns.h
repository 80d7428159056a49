// data/chat_turns.h: the turns of a conversation, in the words that records have for them, as chat templates take them.
#pragma once
#include <nlohmann/json.hpp>
#include <string>

namespace loraxs {

/// A role of its own until a template is known: a call that a record writes as text (ShareGPT's function_call). See
/// data/chat_rendering.h.
inline constexpr const char* kCallRole = "function_call";

/// The turns of `list`: objects of `role` and `content`, or ShareGPT's `from` and `value`. ShareGPT's names of roles
/// (human, gpt, observation, …) become user, assistant, system, developer, tool or kCallRole; a `role` that nobody here
/// knows is the template's to know. A list of parts keeps its texts, as {"type": "text", "text": …}; `function_call` of
/// a turn becomes one of its `tool_calls`; what else a turn has is the template's to read. An assistant's turn that
/// must not be learnt (`weight: 0`, `train: false`) has `weight` 0, every other turn none. Throws Error "WHERE[2]: …"
/// for what is no turn: another form, a role nobody has, parts that are no texts, a turn without a text.
nlohmann::ordered_json read_turns(const nlohmann::ordered_json& list, const std::string& where);

/// One turn of a plain text.
nlohmann::ordered_json text_turn(const std::string& role, const std::string& text);

bool is_assistant(const nlohmann::ordered_json& turn);  // a turn of the assistant, its calls among them
bool is_learnt(const nlohmann::ordered_json& turn);     // is_assistant, and nobody said otherwise

/// The text of a turn, parts one behind the other; empty where it has none.
std::string turn_text(const nlohmann::ordered_json& turn);

}  // namespace loraxs
