#include "train/language_objective.h"

namespace loraxs {

ObjectiveValue language_objective(AdaptedModel& model, const PackedBatch& batch) {
  const CrossEntropy loss = model.token_loss(batch, /*training=*/true);
  const torch::Tensor losses = loss.losses.to(torch::kCPU, torch::kFloat64).contiguous();  // [asked]
  ObjectiveValue value{.total = loss.total};
  for (const SlotSegment& segment : sequence_segments(batch)) {
    double sum = 0;
    for (int64_t s = segment.begin; s < segment.end; ++s) {
      for (int32_t i = batch.asked_starts[s]; i < batch.asked_starts[s + 1]; ++i) {
        sum += batch.loss_weights[s] * losses.const_data_ptr<double>()[i];
      }
    }
    value.job_losses.push_back(sum);
  }
  return value;
}

}  // namespace loraxs
