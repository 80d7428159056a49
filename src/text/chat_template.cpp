#include "text/chat_template.h"

#include <algorithm>
#include <regex>

#include "io/fields.h"
#include "io/gguf.h"
#include "io/text_file.h"

namespace loraxs {
namespace {

using Json = nlohmann::ordered_json;

/// transformers 5 passes a message's reasoning under the names that older and newer templates read.
Json with_reasoning(const Json& message) {
  const Json* reasoning = nullptr;
  for (const char* name : {"reasoning_content", "thinking", "reasoning"}) {
    if (reasoning == nullptr && message.contains(name) && !message[name].is_null()) reasoning = &message[name];
  }
  if (reasoning == nullptr) return message;
  Json aliased = {{"thinking", *reasoning}};
  for (const auto& [key, value] : message.items()) aliased[key] = value;
  aliased["reasoning_content"] = *reasoning;
  return aliased;
}

jinja::Value messages_value(const Json& messages, const std::string& where) {
  if (!messages.is_array()) throw Error(concat(where, ": messages: expected a list, found ", messages.type_name()));
  jinja::Values values;
  for (const Json& message : messages) {
    if (!message.is_object()) {
      throw Error(concat(where, ": messages[", values.size(), "]: expected an object, found ", message.type_name()));
    }
    values.push_back(jinja::Value::from_json(with_reasoning(message)));
  }
  return jinja::Value::list(std::move(values));
}

/// The text of template `name` among {name, template} objects.
std::string named_template(const nlohmann::json& list, const std::string& name, const std::string& where) {
  std::string known;
  for (const auto& entry : list) {
    const bool complete = entry.is_object() && entry.contains("name") && entry["name"].is_string() &&
                          entry.contains("template") && entry["template"].is_string();
    if (!complete) throw Error(concat(where, ": expected objects with name and template, found ", entry.dump()));
    if (entry["name"] == name) return entry["template"].get<std::string>();
    known += (known.empty() ? "" : ", ") + entry["name"].get<std::string>();
  }
  throw Error(concat(where, ": expected a template named ", name, ", found ", known.empty() ? "none" : known));
}

}  // namespace

std::tm ChatTemplate::local_time() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  return local;
}

std::optional<ChatTemplate> ChatTemplate::load(const std::filesystem::path& model, const std::string& name) {
  if (is_gguf_path(model)) {
    const Gguf file = read_gguf(model);
    constexpr const char* kKey = "tokenizer.chat_template";
    if (!file.has(kKey)) return std::nullopt;
    return ChatTemplate(std::string(file.text(kKey)), concat(model.string(), ": ", kKey));
  }
  const std::filesystem::path own = model / "chat_template.jinja";
  const std::filesystem::path additional = model / "additional_chat_templates" / (name + ".jinja");
  if (!name.empty() && name != "default" && std::filesystem::exists(additional)) {
    return ChatTemplate(read_text_file(additional), additional.string());
  }
  if (std::filesystem::exists(own)) return ChatTemplate(read_text_file(own), own.string());
  const std::filesystem::path settings = model / "tokenizer_config.json";
  if (!std::filesystem::exists(settings)) return std::nullopt;
  const nlohmann::json json = read_json(settings);
  if (!json.is_object() || !json.contains("chat_template") || json["chat_template"].is_null()) return std::nullopt;
  const nlohmann::json& found = json["chat_template"];
  const std::string where = settings.string() + ": chat_template";
  if (found.is_string()) return ChatTemplate(found.get<std::string>(), where);
  if (!found.is_array()) throw Error(concat(where, ": expected a text or a list, found ", found.type_name()));
  const std::string wanted = name.empty() ? "default" : name;
  return ChatTemplate(named_template(found, wanted, where), concat(where, ".", wanted));
}

std::string ChatTemplate::render(const Json& messages, const ChatOptions& options) const {
  return render_marked(messages, options).text;
}

jinja::Rendering ChatTemplate::render_marked(const Json& messages, const ChatOptions& options) const {
  try {
    jinja::Mapping context;
    context.set("messages", messages_value(messages, where()));
    context.set("tools", jinja::Value::from_json(options.tools));
    context.set("documents", jinja::Value::from_json(options.documents));
    context.set("add_generation_prompt", options.add_generation_prompt);
    if (!options.bos_token.empty()) context.set("bos_token", options.bos_token);
    if (!options.eos_token.empty()) context.set("eos_token", options.eos_token);
    if (!options.extra.is_null() && !options.extra.is_object()) {
      throw Error(concat(where(), ": extra: expected an object, found ", options.extra.type_name()));
    }
    for (const auto& [name, value] : options.extra.items()) context.set(name, jinja::Value::from_json(value));
    return template_.render(context, now);
  } catch (const jinja::Failure& failure) {
    throw Error(concat(where(), ": messages: ", failure.what()));
  }
}

bool ChatTemplate::marks_generation() const {
  static const std::regex tag("\\{%[-+]?\\s*generation\\s*[-+]?%\\}");
  return std::regex_search(source(), tag);
}

}  // namespace loraxs
