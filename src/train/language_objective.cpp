#include "train/language_objective.h"

namespace loraxs {

ObjectiveValue language_objective(AdaptedModel& model, const PackedBatch& batch) {
  const CrossEntropy loss = model.token_loss(batch, /*training=*/true);
  ObjectiveValue value{.total = loss.total, .terms = loss.losses.detach()};  // [asked]
  value.weights.reserve(batch.num_asked());
  for (int64_t s = 0; s < batch.num_sequences(); ++s) {
    value.weights.resize(batch.asked_starts[s + 1], batch.loss_weights[s]);
  }
  const std::vector<SlotSegment> segments = sequence_segments(batch);
  value.ends.reserve(segments.size());
  for (const SlotSegment& segment : segments) value.ends.push_back(batch.asked_starts[segment.end]);
  return value;
}

}  // namespace loraxs
