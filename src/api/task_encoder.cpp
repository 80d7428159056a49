#include "api/task_encoder.h"

namespace loraxs {

std::unique_ptr<Tokenizer> tokenizer_of(const BaseModel& model) {
  const int64_t types = model.config.type_vocab_size;  // where there is but one, it is used whatever the tokenizer says
  return load_tokenizer(model.folder, model.config.vocab_size, types > 1 ? types : 0, model.reading.pre_tokenizer);
}

TaskEncoder::TaskEncoder(const Tokenizer& tokenizer, const std::filesystem::path& model)
    : tokenizer_(tokenizer), template_(ChatTemplate::load(model)) {}

EncodedExamples TaskEncoder::encode(const Task& task, const std::vector<Example>& examples, int64_t max_length) const {
  if (!task.language_model()) return encode_examples(tokenizer_, examples, max_length);
  return encode_language(text_encoder_of(tokenizer_), task, examples, max_length, chat_template());
}

EncodedExamples TaskEncoder::encode_windows(const Task& task, int64_t max_length, int64_t stride) const {
  return encode_language(text_encoder_of(tokenizer_), task, task.validation, max_length, chat_template(), stride);
}

std::vector<int32_t> TaskEncoder::question(const Example& example, bool as_trained) const {
  return encode_question(text_encoder_of(tokenizer_), example, as_trained, chat_template());
}

std::vector<int32_t> TaskEncoder::prompt(const Example& conversation) const {
  return encode_prompt(text_encoder_of(tokenizer_), conversation, chat_template());
}

EncodedExamples TaskEncoder::encode_open(const Task& task, const std::vector<Example>& examples,
                                         int64_t max_length) const {
  TextEncoder encoder = text_encoder_of(tokenizer_);
  encoder.eos_ids.clear();
  return encode_language(encoder, task, examples, max_length, chat_template());
}

}  // namespace loraxs
