// text/chat_template.h: conversations as the text a chat model was trained on.
#pragma once
#include <ctime>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "text/jinja/template.h"

namespace loraxs {

/// What a rendering may see besides the messages.
struct ChatOptions {
  bool add_generation_prompt = false;  // ends with the opening of an assistant's turn
  std::string bos_token, eos_token;    // as texts; empty: the template sees none
  nlohmann::ordered_json tools;        // JSON schemas of functions; null: none
  nlohmann::ordered_json documents;    // null: none
  nlohmann::ordered_json extra;        // an object: further names ({"enable_thinking": false}); null: none
};

class ChatTemplate {
 public:
  /// A template's text: GGUF metadata "tokenizer.chat_template", or one of the user's own. `where` starts errors.
  ChatTemplate(std::string source, std::string where) : template_(std::move(source), std::move(where)) {}

  /// The template of a model: of a .gguf file its metadata's, of a Hugging Face folder chat_template.jinja, else
  /// chat_template in tokenizer_config.json, which is one text or a list of {name, template}; `name` picks one
  /// ("default" if empty; "tool_use" exists in some models). Nothing if it has none.
  static std::optional<ChatTemplate> load(const std::filesystem::path& model, const std::string& name = "");

  /// `messages`: a list of objects, usually with role and content. Equals apply_chat_template(tokenize=False) of
  /// transformers 5. Throws jinja::TemplateError with the template's line, Error for messages of another form.
  /// Thread-safe.
  std::string render(const nlohmann::ordered_json& messages, const ChatOptions& options) const;
  /// The same with the bytes that assistants said, where the template marks them with {% generation %}, and those that
  /// it wrote for each message.
  jinja::Rendering render_marked(const nlohmann::ordered_json& messages, const ChatOptions& options) const;

  /// The template marks with {% generation %} what assistants said.
  bool marks_generation() const { return template_.marks_generation(); }
  /// The name stands in the template as a word of its own: a name that nowhere stands is nothing it reads.
  bool mentions(std::string_view name) const;
  const std::string& source() const { return template_.source(); }
  const std::string& where() const { return template_.where(); }

  std::function<std::tm()> now = local_time;  // what strftime_now of a template sees

 private:
  static std::tm local_time();
  jinja::Template template_;
};

}  // namespace loraxs
