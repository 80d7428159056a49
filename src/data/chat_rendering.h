// data/chat_rendering.h: a conversation in the form that one template takes, and what the template made of it.
#pragma once
#include <nlohmann/json.hpp>
#include <string>

#include "data/example.h"
#include "text/chat_template.h"

namespace loraxs {

/// What a template sees beside a conversation.
struct ChatTokens {
  std::string bos, eos;  // as texts
};

/// Renders the conversation of one example. Lists of parts become one text where the template takes texts alone; a call
/// that stands as text (kCallRole) becomes a tool call where the template knows them, else a turn of that text.
class ChatRenderer {
 public:
  /// All must outlive this.
  ChatRenderer(const ChatTemplate& chat, const ChatTokens& tokens, const Example& example);

  /// The first `size` turns of the example as the template takes them. Throws Error for tool calls that it knows
  /// nothing of.
  nlohmann::ordered_json turns(size_t size) const;
  /// `turns` as text. Throws Error as ChatTemplate.
  jinja::Rendering render(const nlohmann::ordered_json& turns, bool add_generation_prompt) const;
  /// Throws Error naming the turn, tools, documents or template argument that left no trace in `rendering` of `turns`:
  /// what the template does not read must not vanish.
  void check_complete(const nlohmann::ordered_json& turns, const jinja::Rendering& rendering,
                      bool add_generation_prompt) const;

 private:
  jinja::Rendering render_with(const nlohmann::ordered_json& turns, const ChatOptions& options) const;
  ChatOptions options(bool add_generation_prompt) const;
  bool takes_parts() const;

  const ChatTemplate& chat_;
  const ChatTokens& tokens_;
  const Example& example_;
};

}  // namespace loraxs
