// generate/cached_model.h: an adapted decoder and its key/value cache as the scheduler's model.
#pragma once
#include <torch/types.h>

#include "adapt/adapted_model.h"
#include "generate/step_model.h"
#include "model/kv_cache.h"

namespace loraxs {

class CachedModel final : public StepModel {
 public:
  /// The cache has the dtype and device that `model`, which must outlive this, computes in.
  CachedModel(AdaptedModel& model, int64_t blocks);

  std::span<const float> step(const PackedBatch& batch) override;
  void copy_block(int32_t from, int32_t to) override;
  int64_t vocab_size() const override { return model_.config().vocab_size; }
  int64_t num_blocks() const override { return cache_.num_blocks(); }
  int64_t tokens_per_block() const override { return kKeysPerBlock; }

 private:
  AdaptedModel& model_;
  KvCache cache_;
  torch::Tensor logits_;  // [asked, vocab] float32, of the last step
};

}  // namespace loraxs
