#include "model/language_head.h"

#include <ATen/core/grad_mode.h>

namespace loraxs {

LanguageHead::LanguageHead(const BaseModel& model, torch::ScalarType compute_dtype, torch::Device device, bool training,
                           WeightMemory memory) {
  torch::NoGradGuard no_grad;
  const std::string name = model.config.tie_word_embeddings ? "embeddings.word.weight" : "lm_head.weight";
  if (memory == WeightMemory::kTight) {
    projection_ = FrozenWeight::stored({model.stored(name)}, {}, compute_dtype);
  } else {
    const auto options = torch::TensorOptions().dtype(compute_dtype).device(device);
    projection_ = FrozenWeight::packed(model.weight(name).to(options), training);
  }
}

torch::Tensor LanguageHead::logits(const torch::Tensor& hidden, const AnswerRows& rows) const {
  return projection_.forward(hidden, {}, rows);
}

CrossEntropy LanguageHead::loss(const torch::Tensor& hidden, const torch::Tensor& targets,
                                const torch::Tensor& weights) const {
  return linear_cross_entropy(hidden, projection_, targets, weights);
}

}  // namespace loraxs
