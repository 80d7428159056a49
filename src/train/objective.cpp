#include "train/objective.h"

#include <algorithm>

namespace loraxs {
namespace {

/// logits [sequences, outputs], targets [sequences] float64 -> [sequences].
torch::Tensor losses_of(const torch::Tensor& logits, const torch::Tensor& targets, bool regression) {
  TORCH_CHECK(logits.size(1) > 0, "objective: sequences without a head");
  if (regression) return (logits.select(1, 0) - targets.to(logits.options())).square();
  const torch::Tensor labels = targets.to(torch::kInt64).to(logits.device());
  return -logits.log_softmax(1).gather(1, labels.unsqueeze(1)).squeeze(1);
}

}  // namespace

void weigh_step(std::span<Sequence> step) {
  int64_t terms = 0;
  for (const Sequence& sequence : step) terms += loss_terms(sequence);
  for (Sequence& sequence : step) sequence.loss_weight = 1.0 / static_cast<double>(std::max<int64_t>(1, terms));
}

ObjectiveValue objective(const HeadLogits& logits, const PackedBatch& batch) {
  const torch::Tensor targets = torch::tensor(batch.targets, torch::kFloat64);
  std::vector<torch::Tensor> parts;
  parts.reserve(logits.runs.size());
  for (const HeadRun& run : logits.runs) {
    parts.push_back(losses_of(logits.of(run), targets.narrow(0, run.begin, run.end - run.begin), run.regression));
  }
  const torch::Tensor losses = torch::cat(parts);  // [sequences]
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
