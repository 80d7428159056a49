// data/encoded.h: a data set as token ids; data/example_view.h looks at some of it.
#pragma once
#include <cstdint>
#include <vector>

#include "batch/packed_batch.h"
#include "data/example.h"
#include "text/tokenizer.h"

namespace loraxs {

struct EncodedExamples {
  std::vector<Encoding> encodings;  // one per example
  std::vector<double> targets;      // label index or score; 0 where unlabelled
  int64_t num_truncated = 0;
  int64_t num_dropped = 0;  // language models: examples of whose answer max_length left nothing

  int64_t size() const { return static_cast<int64_t>(encodings.size()); }
  int64_t length(int64_t index) const { return static_cast<int64_t>(encodings[index].input_ids.size()); }
};

EncodedExamples encode_examples(const Tokenizer& tokenizer, const std::vector<Example>& examples, int64_t max_length);

}  // namespace loraxs
