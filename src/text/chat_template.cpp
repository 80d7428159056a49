#include "text/chat_template.h"

#include <cctype>

#include "io/fields.h"
#include "io/gguf.h"
#include "io/text_file.h"
#include "text/jinja/unicode.h"

namespace loraxs {
namespace {

using Json = nlohmann::ordered_json;

/// One message. transformers 5 passes its reasoning under the names that older and newer templates read.
jinja::Value message_value(const Json& message) {
  jinja::Value given = jinja::Value::from_json(message, /*levels_above=*/1);
  const jinja::Value* reasoning = nullptr;
  for (const char* name : {"reasoning_content", "thinking", "reasoning"}) {
    if (reasoning == nullptr || reasoning->is_none()) reasoning = given.mapping()->find_text(name);
  }
  if (reasoning == nullptr || reasoning->is_none()) return given;
  auto aliased = std::make_shared<jinja::Mapping>();
  aliased->set("thinking", *reasoning);
  for (const auto& [key, value] : given.mapping()->entries()) aliased->set(key, value);
  aliased->set("reasoning_content", *reasoning);
  return aliased;
}

jinja::Value messages_value(const Json& messages, const std::string& where) {
  if (!messages.is_array()) throw Error(concat(where, ": messages: expected a list, found ", messages.type_name()));
  jinja::Values values;
  values.reserve(messages.size());
  for (const Json& message : messages) {
    if (!message.is_object()) {
      throw Error(concat(where, ": messages[", values.size(), "]: expected an object, found ", message.type_name()));
    }
    values.push_back(message_value(message));
  }
  return jinja::Value::list(std::move(values));
}

/// The text of template `name` among {name, template} objects.
std::string named_template(const nlohmann::json& list, const std::string& name, const std::string& where) {
  std::string known;
  size_t at = 0;
  for (const auto& entry : list) {
    const bool complete = entry.is_object() && entry.contains("name") && entry["name"].is_string() &&
                          entry.contains("template") && entry["template"].is_string();
    if (!complete) throw Error(concat(where, "[", at, "]: expected an object with name and template"));
    const auto& found = entry["name"].get_ref<const std::string&>();
    if (found == name) return entry["template"].get<std::string>();
    if (known.size() < 200) known += (known.empty() ? "" : ", ") + jinja::excerpt(found);
    ++at;
  }
  throw Error(
      concat(where, ": expected a template named ", jinja::excerpt(name), ", found ", known.empty() ? "none" : known));
}

/// A template from a file of its own, which may be anything.
ChatTemplate read_template(const std::filesystem::path& path) {
  const auto bytes = std::filesystem::file_size(path), most = static_cast<uintmax_t>(jinja::Limits().source_bytes);
  if (bytes > most) {
    throw Error(concat(path.string(), ": expected a template of at most ", most, " bytes, found ", bytes));
  }
  return ChatTemplate(read_text_file(path), path.string());
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
    return read_template(additional);
  }
  if (std::filesystem::exists(own)) return read_template(own);
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

bool ChatTemplate::mentions(std::string_view name) const {
  const std::string_view text = source();
  const auto is_word = [&](size_t at) {
    return at < text.size() && (std::isalnum(static_cast<unsigned char>(text[at])) != 0 || text[at] == '_');
  };
  for (size_t at = text.find(name); at != std::string_view::npos; at = text.find(name, at + 1)) {
    if ((at == 0 || !is_word(at - 1)) && !is_word(at + name.size())) return true;
  }
  return false;
}

std::string ChatTemplate::render(const Json& messages, const ChatOptions& options) const {
  return render_marked(messages, options).text;
}

jinja::Rendering ChatTemplate::render_marked(const Json& messages, const ChatOptions& options) const {
  try {
    jinja::Mapping context;
    const jinja::Value values = messages_value(messages, where());
    context.set("messages", values);
    context.set("tools", jinja::Value::from_json(options.tools));
    context.set("documents", jinja::Value::from_json(options.documents));
    context.set("add_generation_prompt", options.add_generation_prompt);
    if (!options.bos_token.empty()) context.set("bos_token", jinja::valid_text(options.bos_token));
    if (!options.eos_token.empty()) context.set("eos_token", jinja::valid_text(options.eos_token));
    if (!options.extra.is_null() && !options.extra.is_object()) {
      throw Error(concat(where(), ": extra: expected an object, found ", options.extra.type_name()));
    }
    for (const auto& [name, value] : options.extra.items())
      context.set(jinja::valid_text(name), jinja::Value::from_json(value));
    return template_.render(context, now, nullptr, *values.items()->values);
  } catch (const jinja::Failure& failure) {
    throw Error(concat(where(), ": messages: ", failure.what()));
  }
}

}  // namespace loraxs
