#include "model/language_head.h"

#include <ATen/core/grad_mode.h>

#include "ops/frozen_gemm.h"

namespace loraxs {

LanguageHead::LanguageHead(const BaseModel& model, torch::ScalarType compute_dtype, torch::Device device,
                           bool training) {
  torch::NoGradGuard no_grad;
  const auto options = torch::TensorOptions().dtype(compute_dtype).device(device);
  const torch::Tensor weight =
      model.weight(model.config.tie_word_embeddings ? "embeddings.word.weight" : "lm_head.weight").to(options);
  projection_.weight = prepare_frozen(weight);
  if (training) projection_.weight_transposed = prepare_frozen(weight.t());
}

torch::Tensor LanguageHead::logits(const torch::Tensor& hidden) const {
  return frozen_gemm(hidden, projection_.weight, {});
}

CrossEntropy LanguageHead::loss(const torch::Tensor& hidden, const torch::Tensor& targets,
                                const torch::Tensor& weights) const {
  return linear_cross_entropy(hidden, projection_, targets, weights);
}

}  // namespace loraxs
