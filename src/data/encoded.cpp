#include "data/encoded.h"

namespace loraxs {

std::vector<int64_t> EncodedExamples::lengths() const {
  std::vector<int64_t> result;
  result.reserve(size());
  for (int64_t i = 0; i < size(); ++i) result.push_back(length(i));
  return result;
}

int64_t EncodedExamples::num_tokens() const {
  int64_t tokens = 0;
  for (int64_t i = 0; i < size(); ++i) tokens += length(i);
  return tokens;
}

Sequence EncodedExamples::sequence(int64_t index, int64_t slot) const {
  const Encoding& encoding = encodings[index];
  return {.input_ids = encoding.input_ids,
          .token_type_ids = encoding.token_type_ids,
          .is_target = encoding.is_target,
          .slot = slot,
          .example = static_cast<uint64_t>(index),
          .target = targets[index]};
}

EncodedExamples take_examples(const EncodedExamples& examples, std::span<const int64_t> indices) {
  EncodedExamples taken;
  for (const int64_t index : indices) {
    taken.encodings.push_back(examples.encodings[index]);
    taken.targets.push_back(examples.targets[index]);
    taken.num_truncated += examples.encodings[index].truncated;
  }
  return taken;
}

EncodedExamples encode_examples(const Tokenizer& tokenizer, const std::vector<Example>& examples, int64_t max_length) {
  EncodedExamples encoded;
  for (const Example& example : examples) {
    const auto second = example.second ? std::optional<std::string_view>(*example.second) : std::nullopt;
    encoded.encodings.push_back(tokenizer.encode(example.first, second, max_length));
    encoded.num_truncated += encoded.encodings.back().truncated;
    encoded.targets.push_back(example.target.value_or(0));
  }
  return encoded;
}

}  // namespace loraxs
