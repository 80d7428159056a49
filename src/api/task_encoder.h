// api/task_encoder.h: a task's examples as token ids, by what the model brings: tokenizer and chat template.
#pragma once
#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "data/encoded.h"
#include "data/language.h"
#include "data/task.h"
#include "model/base_model.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace loraxs {

/// The model's own tokenizer. Throws Error as load_tokenizer, and naming a token that the model has no embedding for.
std::unique_ptr<Tokenizer> tokenizer_of(const BaseModel& model);

class TaskEncoder {
 public:
  /// `tokenizer` must outlive this. Throws Error for a damaged template.
  TaskEncoder(const Tokenizer& tokenizer, const std::filesystem::path& model);

  /// Labelled texts with their labels, language data with its targets; at most `max_length` tokens each.
  EncodedExamples encode(const Task& task, const std::vector<Example>& examples, int64_t max_length) const;
  /// Language models: see encode_language and encode_question.
  EncodedExamples encode_windows(const Task& task, int64_t max_length, int64_t stride) const;
  std::vector<int32_t> question(const Example& example, bool as_trained) const;
  /// See encode_prompt.
  std::vector<int32_t> prompt(const Example& conversation) const;
  /// Language models: the answers alone as targets, without an end-of-text token behind them.
  EncodedExamples encode_open(const Task& task, const std::vector<Example>& examples, int64_t max_length) const;
  const ChatTemplate* chat_template() const { return template_ ? &*template_ : nullptr; }  // null: the model has none

 private:
  const Tokenizer& tokenizer_;
  std::optional<ChatTemplate> template_;
};

}  // namespace loraxs
