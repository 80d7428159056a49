#include "api/task_encoder.h"

namespace loraxs {

std::unique_ptr<Tokenizer> tokenizer_of(const BaseModel& model) {
  const int64_t types = model.config.type_vocab_size;  // where there is but one, it is used whatever the tokenizer says
  return load_tokenizer(model.folder, model.config.vocab_size, types > 1 ? types : 0, model.reading.pre_tokenizer);
}

TaskEncoder::TaskEncoder(const Tokenizer& tokenizer, const std::filesystem::path& model)
    : tokenizer_(tokenizer), template_(ChatTemplate::load(model)) {}

TextEncoder TaskEncoder::text_encoder() const {
  return {.encode =
              [&](std::string_view text, bool add_special) {
                return tokenizer_.encode_text(text, {.add_special = add_special, .parse_special = true});
              },
          .eos_ids = tokenizer_.eos_ids(),
          .bos_token = token_text(tokenizer_, tokenizer_.bos_id()),
          .eos_token = eos_text(tokenizer_)};
}

EncodedExamples TaskEncoder::encode(const Task& task, const std::vector<Example>& examples, int64_t max_length) const {
  if (!task.language_model()) return encode_examples(tokenizer_, examples, max_length);
  return encode_language(text_encoder(), task, examples, max_length, chat_template());
}

EncodedExamples TaskEncoder::encode_windows(const Task& task, int64_t max_length, int64_t stride) const {
  return encode_language(text_encoder(), task, task.validation, max_length, chat_template(), stride);
}

std::vector<int32_t> TaskEncoder::question(const Example& example, bool as_trained) const {
  return encode_question(text_encoder(), example, as_trained, chat_template());
}

EncodedExamples TaskEncoder::encode_open(const Task& task, const std::vector<Example>& examples,
                                         int64_t max_length) const {
  TextEncoder encoder = text_encoder();
  encoder.eos_ids.clear();
  return encode_language(encoder, task, examples, max_length, chat_template());
}

std::string token_text(const Tokenizer& tokenizer, std::optional<int32_t> id) {
  const std::string* text = id ? tokenizer.token_of(*id) : nullptr;
  return text == nullptr ? "" : *text;
}

std::string eos_text(const Tokenizer& tokenizer) {
  const std::vector<int32_t>& ends = tokenizer.eos_ids();
  return ends.empty() ? "" : token_text(tokenizer, ends.front());
}

}  // namespace loraxs
