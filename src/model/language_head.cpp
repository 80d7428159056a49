#include "model/language_head.h"

#include <ATen/core/grad_mode.h>

namespace loraxs {

LanguageHead::LanguageHead(const BaseModel& model, torch::ScalarType compute_dtype, torch::Device device, bool training,
                           WeightMemory memory, bool answers_apart) {
  torch::NoGradGuard no_grad;
  const std::string name = model.config.tie_word_embeddings ? "embeddings.word.weight" : "lm_head.weight";
  if (memory == WeightMemory::kTight) {
    projection_ = FrozenWeight::stored({model.stored(name)}, {}, compute_dtype);
  } else if (memory == WeightMemory::kInt8) {
    projection_ = FrozenWeight::integers({model.stored(name)}, {});
  } else {
    const auto options = torch::TensorOptions().dtype(compute_dtype).device(device);
    const torch::Tensor weight = model.weight(name).to(options);
    projection_ = FrozenWeight::packed(weight, training);
    if (answers_apart) {
      const BlockTensor stored = model.stored(name);
      const bool rounded = compute_dtype == torch::kBFloat16 && stored.type == BlockType::kF32;
      projection_.add_answers({rounded ? block_view(weight.contiguous()) : stored}, {});
    }
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
