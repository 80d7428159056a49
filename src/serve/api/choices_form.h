// serve/api/choices_form.h: what chats and completions share: choices in one reply, or chunks of them and [DONE].
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "serve/api/answer_run.h"

namespace loraxs {

class ChoicesForm : public AnswerForm {
 public:
  struct Envelope {
    std::string id;     // "chatcmpl-…"
    std::string model;  // as the answer names it
    int64_t prompts = 1, samples = 1;
    bool stream = false, include_usage = false;
  };
  explicit ChoicesForm(Envelope envelope);

  void begin(Call& call) override;
  void prompt(Call& call, int64_t prompt, const std::vector<TokenInfo>& tokens) override;
  void piece(Call& call, int64_t choice, AnswerPiece piece) override;
  void end(Call& call, int64_t choice, const AnswerEnd& end) override;
  void finish(Call& call, const TokensUsed& used) override;

 protected:
  struct Choice {
    int64_t prompt = 0;
    std::string text;
    std::vector<TokenInfo> tokens;
    FinishReason reason = FinishReason::kStop;
    int64_t offset = 0;  // characters before the next token, for text_offset
  };
  virtual const char* object() const = 0;  // "chat.completion.chunk" in a stream
  /// What stands in a chunk beside index and finish_reason: the part of a text, or the end, where it is empty.
  virtual nlohmann::ordered_json delta(Choice& choice, const std::string& text,
                                       const std::vector<TokenInfo>& tokens) const = 0;
  /// What stands before the answer: a chunk of its own in a stream. Null: nothing.
  virtual nlohmann::ordered_json opening(Choice& choice) const = 0;
  /// What stands in a whole choice.
  virtual nlohmann::ordered_json whole(Choice& choice) const = 0;
  /// Whether the opening waits for the prompt's tokens.
  virtual bool opens_late() const { return false; }
  bool streams() const { return envelope_.stream; }

 private:
  nlohmann::ordered_json enveloped(const Call& call, nlohmann::ordered_json choices) const;
  void send(Call& call, size_t index, const nlohmann::ordered_json& part, const char* finish_reason) const;
  void open(Call& call, size_t index);

  Envelope envelope_;
  std::vector<Choice> choices_;
};

/// {prompt_tokens, completion_tokens, total_tokens, prompt_tokens_details: {cached_tokens}}
nlohmann::ordered_json usage_object(const TokensUsed& used);

/// JSON schema of a chat's or a completion's reply, whose choices have `choice` beside index and finish_reason.
std::string choices_schema(const std::string& object, const std::string& choice);

}  // namespace loraxs
