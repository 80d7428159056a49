#include "generate/cached_model.h"

#include <c10/core/InferenceMode.h>

namespace loraxs {

CachedModel::CachedModel(AdaptedModel& model, int64_t blocks)
    : model_(model),
      cache_(model.config(), blocks, model.prepared()->options().dtype, model.prepared()->options().device) {}

std::span<const float> CachedModel::step(const PackedBatch& batch) {
  const c10::InferenceMode inference;
  logits_ = model_.token_logits(batch, &cache_).to(torch::kCPU, torch::kFloat32).contiguous();
  return {logits_.const_data_ptr<float>(), static_cast<size_t>(logits_.numel())};
}

void CachedModel::copy_block(int32_t from, int32_t to) {
  const c10::InferenceMode inference;
  cache_.copy_block_(from, to);
}

}  // namespace loraxs
