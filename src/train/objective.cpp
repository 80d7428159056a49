#include "train/objective.h"

#include <algorithm>

namespace loraxs {

void weigh_step(std::span<Sequence> step) {
  int64_t terms = 0;
  for (const Sequence& sequence : step) terms += loss_terms(sequence);
  for (Sequence& sequence : step) sequence.loss_weight = 1.0 / static_cast<double>(std::max<int64_t>(1, terms));
}

ObjectiveValue objective(const torch::Tensor& logits, const PackedBatch& batch, bool regression) {
  const torch::Tensor targets = torch::tensor(batch.targets, torch::kFloat64);
  torch::Tensor losses;  // [sequences]
  if (regression) {
    losses = (logits.select(1, 0) - targets.to(logits.options())).square();
  } else {
    const torch::Tensor labels = targets.to(torch::kInt64).to(logits.device());
    losses = -logits.log_softmax(1).gather(1, labels.unsqueeze(1)).squeeze(1);
  }
  const torch::Tensor weighted = losses * torch::tensor(batch.loss_weights, torch::kFloat64).to(losses.options());
  ObjectiveValue value{.total = weighted.sum()};
  const torch::Tensor shown = weighted.detach().to(torch::kCPU, torch::kFloat64).contiguous();
  for (const SlotSegment& segment : sequence_segments(batch)) {
    double sum = 0;
    for (int64_t s = segment.begin; s < segment.end; ++s) sum += shown.const_data_ptr<double>()[s];
    value.job_losses.push_back(sum);
  }
  return value;
}

}  // namespace loraxs
