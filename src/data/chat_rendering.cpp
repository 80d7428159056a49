#include "data/chat_rendering.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "data/chat_turns.h"
#include "io/error.h"
#include "io/json.h"

namespace loraxs {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kBlank = " \t\r\n";

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(kBlank);
  return begin == std::string_view::npos ? "" : text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

/// {"name": …, "arguments": …} as a tool call; null for what is none.
Json tool_call(const Json& call) {
  if (!call.is_object() || !call.contains("name") || !call["name"].is_string()) return {};
  for (const char* key : {"arguments", "parameters"}) {
    if (!call.contains(key)) continue;
    return {{"type", "function"}, {"function", {{"name", call["name"]}, {"arguments", call[key]}}}};
  }
  return {};
}

/// The calls that a text is: one object or a list of them. Null for any other text.
Json calls_in(const std::string& text) {
  const Json value = ordered_json_or_null(text);
  Json calls = Json::array();
  for (const Json& each : value.is_array() ? value : Json::array({value})) {
    calls.push_back(tool_call(each));
    if (calls.back().is_null()) return {};
  }
  return calls.empty() ? Json() : calls;
}

}  // namespace

ChatRenderer::ChatRenderer(const ChatTemplate& chat, const ChatTokens& tokens, const Example& example)
    : chat_(chat), tokens_(tokens), example_(example) {}

/// Asked by a trial: a template that takes texts alone fails, leaves the part out or prints it with its keys.
bool ChatRenderer::takes_parts() const {
  static const std::string kProbe = "7c1d";
  const Json parts = Json::array({{{"type", "text"}, {"text", kProbe}}});
  try {
    const std::string text = render_with(Json::array({{{"role", "user"}, {"content", parts}}}),
                                         {.bos_token = tokens_.bos, .eos_token = tokens_.eos})
                                 .text;
    const size_t found = text.find(kProbe);
    return found != std::string::npos && text.find("type") > found;
  } catch (const Error&) {
    return false;
  }
}

Json ChatRenderer::turns(size_t size) const {
  const bool any_parts = std::any_of(example_.messages.begin(), example_.messages.end(), [](const Json& turn) {
    return turn.contains("content") && turn["content"].is_array();
  });
  const bool join = any_parts && !takes_parts();
  const bool calls = chat_.mentions("tool_calls");
  static constexpr std::array kReasoning = {"reasoning_content", "thinking",
                                            "reasoning"};  // one for a template: see chat_template.cpp
  const bool reasons =
      std::any_of(kReasoning.begin(), kReasoning.end(), [&](const char* name) { return chat_.mentions(name); });
  Json turns = Json::array();
  for (size_t i = 0; i < size; ++i) {
    Json turn = example_.messages[i];
    turn.erase("weight");
    if (join && turn.contains("content") && turn["content"].is_array()) turn["content"] = turn_text(turn);
    if (turn["role"] == kCallRole) {
      turn["role"] = "assistant";
      Json found = calls ? calls_in(turn_text(turn)) : Json();
      if (!found.is_null()) {
        turn["content"] = "";
        turn["tool_calls"] = std::move(found);
      }
    } else if (!calls && turn.contains("tool_calls") && !turn["tool_calls"].empty()) {
      throw Error(concat("messages[", i, "]: tool_calls: expected a template that renders them, found none in ",
                         chat_.where(), "; write the call as the content"));
    }
    for (const char* key : kReasoning) {
      if (reasons || !turn.contains(key) || !turn[key].is_string() || turn[key] == "") continue;
      throw Error(concat("messages[", i, "]: reasoning: expected a template that renders it, found none in ",
                         chat_.where(), "; write it into the content, between <think> and </think>, or leave it out"));
    }
    turns.push_back(std::move(turn));
  }
  return turns;
}

ChatOptions ChatRenderer::options(bool add_generation_prompt) const {
  return {.add_generation_prompt = add_generation_prompt,
          .bos_token = tokens_.bos,
          .eos_token = tokens_.eos,
          .tools = example_.tools,
          .documents = example_.documents,
          .extra = example_.template_arguments};
}

jinja::Rendering ChatRenderer::render_with(const Json& turns, const ChatOptions& options) const {
  return chat_.render_marked(turns, options);
}

jinja::Rendering ChatRenderer::render(const Json& turns, bool add_generation_prompt) const {
  return render_with(turns, options(add_generation_prompt));
}

void ChatRenderer::check_complete(const Json& turns, const jinja::Rendering& rendering,
                                  bool add_generation_prompt) const {
  const auto printed = [&](size_t i) {
    const auto& [begin, end] = rendering.printed[i];
    return std::string_view(rendering.text).substr(begin, end - begin);
  };
  bool follows = false;  // a loop over the turns was seen
  for (size_t i = 0; i < turns.size(); ++i) follows = follows || !printed(i).empty();
  for (size_t i = 0; follows && i < turns.size(); ++i) {
    const std::string text = turn_text(turns[i]);
    const std::string_view said = trimmed(text);
    if (said.empty() || !trimmed(printed(i)).empty() || rendering.text.find(said) != std::string::npos) continue;
    throw Error(concat("messages[", i, "]: expected a template that renders turns of ",
                       turns[i]["role"].get<std::string>(), ", found that ", chat_.where(), " leaves it out"));
  }
  for (const auto& [name, value] : example_.template_arguments.items()) {
    if (chat_.mentions(name) && name != "messages" && name != "tools" && name != "add_generation_prompt") continue;
    throw Error(concat("chat_template_kwargs.", name, ": expected a name that the template reads, found one that ",
                       chat_.where(), " does not"));
  }
  const auto leaves_trace = [&](const char* name, Json ChatOptions::*field) {
    ChatOptions without = options(add_generation_prompt);
    if ((without.*field).is_null()) return;
    without.*field = nullptr;
    if (render_with(turns, without).text != rendering.text) return;
    throw Error(concat(name, ": expected a template that renders them, found that ", chat_.where(), " does not"));
  };
  leaves_trace("tools", &ChatOptions::tools);
  leaves_trace("documents", &ChatOptions::documents);
}

}  // namespace loraxs
