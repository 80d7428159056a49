// model/language_head.h: the frozen output projection of a decoder: logits of asked rows, or their loss.
#pragma once
#include <torch/types.h>

#include "model/base_model.h"
#include "ops/cross_entropy.h"

namespace loraxs {

class LanguageHead {
 public:
  /// lm_head, or the word embeddings where the config ties them. `training`: prepared for backward too;
  /// `answers_apart`: FrozenWeight::add_answers.
  LanguageHead(const BaseModel& model, torch::ScalarType compute_dtype, torch::Device device, bool training,
               WeightMemory memory, bool answers_apart = false);

  /// hidden [asked, hidden] -> [asked, vocab], dtype of hidden. `rows` as in FrozenWeight::forward.
  torch::Tensor logits(const torch::Tensor& hidden, const AnswerRows& rows = {}) const;
  /// Cross-entropy of the targets [asked] int64, weighted; logits never exist whole.
  CrossEntropy loss(const torch::Tensor& hidden, const torch::Tensor& targets, const torch::Tensor& weights) const;

 private:
  FrozenWeight projection_;
};

}  // namespace loraxs
