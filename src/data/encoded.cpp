#include "data/encoded.h"

namespace loraxs {

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
