#include "generate/cached_model.h"

#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

namespace loraxs {

std::string StepTimes::since(const StepTimes& before) const {
  const auto rate = [](int64_t tokens, double seconds) {
    return static_cast<double>(tokens) / std::max(seconds, 1e-9);
  };
  std::string line(160, '\0');
  line.resize(static_cast<size_t>(std::snprintf(
      line.data(), line.size(), "prompt_tokens=%ld prompt_tokens_per_second=%.1f answer_tokens_per_second=%.1f",
      static_cast<long>(prompt_tokens - before.prompt_tokens),
      rate(prompt_tokens - before.prompt_tokens, prompt_seconds - before.prompt_seconds),
      rate(answer_tokens - before.answer_tokens, answer_seconds - before.answer_seconds))));
  return line;
}

CachedModel::CachedModel(AdaptedModel& model, int64_t blocks)
    : model_(model),
      cache_(model.config(), blocks, model.prepared()->options().dtype, model.prepared()->options().device) {}

torch::Tensor CachedModel::Layers::attend(int64_t layer, const torch::Tensor& queries, const torch::Tensor& keys_values,
                                          const AttentionColumns& columns, const AttentionShape& shape,
                                          const BatchTensors& batch, bool asked_only) {
  if (wanted && wanted()) throw StepInterrupted();
  return cache.attend(layer, queries, keys_values, columns, shape, batch, asked_only);
}

std::span<const float> CachedModel::step(const PackedBatch& batch) {
  const c10::InferenceMode inference;
  const auto start = std::chrono::steady_clock::now();
  logits_ = model_.token_logits(batch, &layers_).to(torch::kCPU, torch::kFloat32).contiguous();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const auto answers = static_cast<int64_t>(batch.answer_rows.size());
  if (answers == batch.num_tokens()) {
    times_.answer_tokens += answers;
    times_.answer_seconds += seconds;
  } else {
    times_.prompt_tokens += batch.num_tokens() - answers;
    times_.prompt_seconds += seconds;
  }
  return {logits_.const_data_ptr<float>(), static_cast<size_t>(logits_.numel())};
}

void CachedModel::copy_block(int32_t from, int32_t to) {
  const c10::InferenceMode inference;
  cache_.copy_block_(from, to);
}

}  // namespace loraxs
