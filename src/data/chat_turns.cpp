// Names of roles: ShareGPT as FastChat, LLaMA-Factory (src/llamafactory/data/converter.py) and axolotl
// (prompt_strategies/chat_template.py) read it. Weights of turns: OpenAI's fine-tuning files; `train`: axolotl's;
// `loss`: ms-swift's.
#include "data/chat_turns.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "io/error.h"

namespace loraxs {
namespace {

using Json = nlohmann::ordered_json;

struct RoleName {
  const char* name;
  const char* role;
};
constexpr std::array<RoleName, 27> kRoleNames = {{{"human", "user"},
                                                  {"user", "user"},
                                                  {"prompter", "user"},
                                                  {"gpt", "assistant"},
                                                  {"assistant", "assistant"},
                                                  {"chatgpt", "assistant"},
                                                  {"bing", "assistant"},
                                                  {"bard", "assistant"},
                                                  {"claude", "assistant"},
                                                  {"model", "assistant"},
                                                  {"bot", "assistant"},
                                                  {"ai", "assistant"},
                                                  {"system", "system"},
                                                  {"developer", "developer"},
                                                  {"function_call", kCallRole},
                                                  {"function-call", kCallRole},
                                                  {"tool_call", kCallRole},
                                                  {"tool_calls", kCallRole},
                                                  {"tool", "tool"},
                                                  {"observation", "tool"},
                                                  {"function_response", "tool"},
                                                  {"function-response", "tool"},
                                                  {"tool_response", "tool"},
                                                  {"tool_result", "tool"},
                                                  {"tool_output", "tool"},
                                                  {"function", "tool"},
                                                  {"ipython", "tool"}}};

const char* known_role(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  const auto found =
      std::find_if(kRoleNames.begin(), kRoleNames.end(), [&](const RoleName& r) { return name == r.name; });
  return found == kRoleNames.end() ? nullptr : found->role;
}

std::string turn_role(const Json& turn, const std::string& where) {
  const bool sharegpt = turn.contains("from");
  if (sharegpt && turn.contains("role")) throw Error(concat(where, ": expected role or from, found both"));
  const char* key = sharegpt ? "from" : "role";
  if (!turn.contains(key)) throw Error(concat(where, ": role: expected a text, found none"));
  if (!turn[key].is_string()) throw Error(concat(where, ": ", key, ": expected a text, found ", turn[key].type_name()));
  const auto& name = turn[key].get_ref<const std::string&>();
  const char* role = known_role(name);
  if (sharegpt && role == nullptr) {
    throw Error(concat(where,
                       ": from: expected human, gpt, system, developer, function_call, observation or tool, found \"",
                       name, "\""));
  }
  // Templates tell kinds of tool turns apart by the names of their family.
  return role == nullptr || (!sharegpt && std::string_view(role) == "tool") ? name : role;
}

/// A part of a content as templates take it. Others (images, sound) are nothing that these models read.
Json text_part(const Json& part, const std::string& where) {
  if (part.is_string()) return {{"type", "text"}, {"text", part}};
  if (!part.is_object()) throw Error(concat(where, ": expected an object, found ", part.type_name()));
  const std::string type = part.contains("type") && part["type"].is_string() ? part["type"].get<std::string>() : "text";
  if (type != "text" && type != "input_text" && type != "output_text") {
    throw Error(concat(where, ": type: expected text, found \"", type, "\"; models here read text alone"));
  }
  if (!part.contains("text") || !part["text"].is_string())
    throw Error(concat(where, ": text: expected a text, found none"));
  return {{"type", "text"}, {"text", part["text"]}};
}

Json turn_content(const Json& content, const std::string& role, const std::string& where) {
  if (content.is_string()) return content;
  if (content.is_array()) {
    Json parts = Json::array();
    for (const Json& part : content) parts.push_back(text_part(part, concat(where, "[", parts.size(), "]")));
    return parts;
  }
  // What a tool gave back may be any object.
  if (content.is_object() && role != "user" && role != "assistant" && role != "system") return content;
  throw Error(concat(where, ": expected a text, found ", content.type_name()));
}

constexpr std::array kLearnKeys = {"train", "training", "loss"};
/// What asks for parts or weights of a turn.
constexpr std::array kPartKeys = {"train_detail", "loss_scale", "loss_weight", "loss_mask", "mask", "masked"};

/// Whether the record asks for this turn to be learnt.
bool wants_learning(const Json& turn, const std::string& role, const std::string& where) {
  bool wanted = true;
  if (turn.contains("weight") && !turn["weight"].is_null()) {
    const Json& weight = turn["weight"];
    if (!weight.is_number() || (weight.get<double>() != 0 && weight.get<double>() != 1)) {
      throw Error(concat(where, ": weight: expected 0 or 1, found ", weight.dump()));
    }
    wanted = weight.get<double>() == 1;
  }
  for (const char* key : kPartKeys) {
    if (!turn.contains(key) || turn[key].is_null()) continue;
    throw Error(concat(where, ": ", key, ": expected train: true or false for a whole turn, found a key that would ",
                       "change what of it is learnt; leave it out"));
  }
  for (const char* key : kLearnKeys) {
    if (!turn.contains(key) || turn[key].is_null()) continue;
    if (!turn[key].is_boolean())
      throw Error(concat(where, ": ", key, ": expected true or false, found ", turn[key].dump()));
    wanted = turn[key].get<bool>();
    if (wanted && role != "assistant" && role != kCallRole) {
      throw Error(concat(where, ": ", key, ": expected false for a turn of ", role,
                         ", found true; answers are learnt, or every token with train_on: all"));
    }
  }
  return wanted;
}

Json read_turn(const Json& turn, const std::string& where) {
  if (!turn.is_object()) throw Error(concat(where, ": expected an object, found ", turn.type_name()));
  const std::string role = turn_role(turn, where);
  Json read = {{"role", role}};
  const char* text_key = nullptr;
  for (const char* key : {"content", "value", "text"}) {
    if (!turn.contains(key)) continue;
    if (text_key != nullptr) throw Error(concat(where, ": expected ", text_key, " or ", key, ", found both"));
    text_key = key;
  }
  const bool calls = (turn.contains("tool_calls") && turn["tool_calls"].is_array() && !turn["tool_calls"].empty()) ||
                     (turn.contains("function_call") && turn["function_call"].is_object());
  if (text_key != nullptr && !turn[text_key].is_null()) {
    read["content"] = turn_content(turn[text_key], role, concat(where, ": ", text_key));
  } else if (calls) {
    if (text_key != nullptr) read["content"] = nullptr;
  } else {
    throw Error(concat(where, ": ", text_key == nullptr ? "content" : text_key, ": expected a text, found ",
                       text_key == nullptr ? "none" : "null"));
  }
  for (const auto& [key, value] : turn.items()) {
    const bool taken = key == "role" || key == "from" || (text_key != nullptr && key == text_key) || key == "weight" ||
                       std::ranges::find(kLearnKeys, key) != kLearnKeys.end();
    if (taken) continue;
    // Behind what is there, without a search: a turn may have thousands of keys.
    auto& entries = read.get_ref<Json::object_t&>();
    if (key == "function_call" && value.is_object()) {
      entries.emplace_back("tool_calls", Json::array({{{"type", "function"}, {"function", value}}}));
    } else {
      entries.emplace_back(key, value);
    }
  }
  if (!wants_learning(turn, role, where)) read["weight"] = 0;
  return read;
}

}  // namespace

Json read_turns(const Json& list, const std::string& where) {
  if (!list.is_array()) throw Error(concat(where, ": expected a list of turns, found ", list.type_name()));
  Json turns = Json::array();
  for (const Json& turn : list) turns.push_back(read_turn(turn, concat(where, "[", turns.size(), "]")));
  return turns;
}

Json text_turn(const std::string& role, const std::string& text) { return {{"role", role}, {"content", text}}; }

bool is_assistant(const Json& turn) { return turn["role"] == "assistant" || turn["role"] == kCallRole; }

bool is_learnt(const Json& turn) { return is_assistant(turn) && !turn.contains("weight"); }

std::string turn_text(const Json& turn) {
  if (!turn.contains("content")) return "";
  const Json& content = turn["content"];
  if (content.is_string()) return content.get<std::string>();
  std::string text;
  for (const Json& part : content) {
    if (part.is_object() && part.contains("text") && part["text"].is_string()) text += part["text"].get<std::string>();
  }
  return text;
}

}  // namespace loraxs
