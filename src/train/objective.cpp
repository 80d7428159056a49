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

std::vector<double> ObjectiveValue::job_losses() const { return job_losses_of(std::span(this, 1)).front(); }

std::vector<std::vector<double>> job_losses_of(std::span<const ObjectiveValue> values) {
  std::vector<torch::Tensor> terms;
  terms.reserve(values.size());
  for (const ObjectiveValue& value : values) terms.push_back(value.terms);
  const torch::Tensor fetched = torch::cat(terms).to(torch::kCPU, torch::kFloat64).contiguous();
  const double* term = fetched.const_data_ptr<double>();
  std::vector<std::vector<double>> losses;
  losses.reserve(values.size());
  for (const ObjectiveValue& value : values) {
    std::vector<double>& jobs = losses.emplace_back();
    jobs.reserve(value.ends.size());
    int64_t i = 0;
    for (const int64_t end : value.ends) {
      double sum = 0;
      for (; i < end; ++i) sum += value.weights[i] * term[i];
      jobs.push_back(sum);
    }
    term += value.terms.numel();
  }
  return losses;
}

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
  ObjectiveValue value{.total = weighted.sum(), .terms = weighted.detach()};
  value.weights.assign(batch.num_sequences(), 1);  // they are in the terms
  const std::vector<SlotSegment> segments = sequence_segments(batch);
  value.ends.reserve(segments.size());
  for (const SlotSegment& segment : segments) value.ends.push_back(segment.end);
  return value;
}

}  // namespace loraxs
