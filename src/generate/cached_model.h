// generate/cached_model.h: an adapted decoder and its key/value cache as the scheduler's model.
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "adapt/adapted_model.h"
#include "generate/step_model.h"
#include "model/kv_cache.h"

namespace loraxs {

/// What steps took so far. A step with tokens of a prompt is the prompt's; answers that went along are not counted.
struct StepTimes {
  int64_t prompt_tokens = 0, answer_tokens = 0;
  double prompt_seconds = 0, answer_seconds = 0;

  /// "prompt_tokens=32 prompt_tokens_per_second=410.0 answer_tokens_per_second=61.2" of what came after `before`.
  std::string since(const StepTimes& before) const;
};

class CachedModel final : public StepModel {
 public:
  /// The cache has the dtype and device that `model`, which must outlive this, computes in.
  CachedModel(AdaptedModel& model, int64_t blocks);
  CachedModel(const CachedModel&) = delete;
  CachedModel& operator=(const CachedModel&) = delete;

  std::span<const float> step(const PackedBatch& batch) override;
  /// Asked in every layer.
  void interrupt_when(std::function<bool()> wanted) override { layers_.wanted = std::move(wanted); }
  void copy_block(int32_t from, int32_t to) override;
  int64_t vocab_size() const override { return model_.config().vocab_size; }
  int64_t num_blocks() const override { return cache_.num_blocks(); }
  int64_t tokens_per_block() const override { return kKeysPerBlock; }
  const StepTimes& times() const { return times_; }

 private:
  /// The cache as the model's layers reach it, one after the other.
  struct Layers final : public KeyValueCache {
    explicit Layers(KvCache& all) : cache(all) {}
    torch::Tensor attend(int64_t layer, const torch::Tensor& queries, const torch::Tensor& keys_values,
                         const AttentionColumns& columns, const AttentionShape& shape, const BatchTensors& batch,
                         bool asked_only) override;

    KvCache& cache;
    std::function<bool()> wanted;  // an interruption
  };

  AdaptedModel& model_;
  KvCache cache_;
  Layers layers_{cache_};
  StepTimes times_;
  torch::Tensor logits_;  // [asked, vocab] float32, of the last step
};

}  // namespace loraxs
