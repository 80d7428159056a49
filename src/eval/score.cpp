#include "eval/score.h"

#include <ATen/core/grad_mode.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "batch/token_budget.h"
#include "eval/metrics.h"

namespace loraxs {

std::vector<torch::Tensor> predict_logits(AdaptedModel& model, const ExampleView& examples,
                                          const std::vector<int64_t>& slots, int64_t tokens_per_batch,
                                          const std::function<void()>& proceed) {
  torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> results(slots.size());
  for (const std::vector<int64_t>& indices : batches_by_tokens(examples.lengths(), tokens_per_batch)) {
    const torch::Tensor rows = torch::tensor(indices, torch::kInt64);
    for (size_t s = 0; s < slots.size(); ++s) {
      if (proceed) proceed();
      std::vector<Sequence> sequences;
      sequences.reserve(indices.size());
      for (const int64_t index : indices) sequences.push_back(examples.sequence(index, slots[s]));
      const HeadLogits heads = model.logits(pack(sequences), /*training=*/false);
      const torch::Tensor logits = heads.of(heads.runs.front()).to(torch::kCPU, torch::kFloat32);  // one slot: one run
      if (!results[s].defined()) results[s] = torch::empty({examples.size(), logits.size(1)});
      results[s].index_copy_(0, rows, logits);
    }
  }
  return results;
}

std::vector<double> predictions_of(const torch::Tensor& logits, bool regression) {
  const torch::Tensor values = (regression ? logits.select(1, 0) : logits.argmax(1)).to(torch::kFloat64).contiguous();
  return {values.const_data_ptr<double>(), values.const_data_ptr<double>() + values.numel()};
}

TargetLosses target_losses(AdaptedModel& model, const ExampleView& examples, const std::vector<int64_t>& slots,
                           const std::function<void()>& proceed) {
  torch::NoGradGuard no_grad;
  TargetLosses result{.sums = std::vector(slots.size(), std::vector<double>(examples.size())),
                      .targets = std::vector<int64_t>(examples.size())};
  for (const std::vector<int64_t>& indices : batches_by_tokens(examples.lengths(), kTokensPerBatch)) {
    for (size_t s = 0; s < slots.size(); ++s) {
      if (proceed) proceed();
      std::vector<Sequence> sequences;
      sequences.reserve(indices.size());
      for (const int64_t index : indices) sequences.push_back(examples.sequence(index, slots[s]));
      const PackedBatch batch = pack(sequences);
      const torch::Tensor losses =
          model.token_loss(batch, /*training=*/false).losses.to(torch::kCPU, torch::kFloat64).contiguous();  // [asked]
      const double* loss = losses.const_data_ptr<double>();
      for (size_t i = 0; i < indices.size(); ++i) {
        const int32_t begin = batch.asked_starts[i], end = batch.asked_starts[i + 1];
        result.sums[s][indices[i]] = std::accumulate(loss + begin, loss + end, 0.0);
        result.targets[indices[i]] = end - begin;
      }
    }
  }
  return result;
}

std::vector<double> held_out_losses(AdaptedModel& model, const ExampleView& examples, const std::vector<int64_t>& slots,
                                    const std::function<void()>& proceed) {
  const TargetLosses losses = target_losses(model, examples, slots, proceed);
  const auto targets = static_cast<double>(std::accumulate(losses.targets.begin(), losses.targets.end(), int64_t{0}));
  std::vector<double> means;
  means.reserve(losses.sums.size());
  for (const std::vector<double>& sums : losses.sums)
    means.push_back(std::accumulate(sums.begin(), sums.end(), 0.0) / targets);
  return means;
}

std::vector<double> score_slots(AdaptedModel& model, const ExampleView& examples, const std::vector<int64_t>& slots,
                                const std::string& metric, bool regression, const std::function<void()>& proceed) {
  if (metric == "loss") return held_out_losses(model, examples, slots, proceed);
  std::vector<double> scores;
  for (const torch::Tensor& logits : predict_logits(model, examples, slots, kTokensPerBatch, proceed)) {
    // The index of a largest logit says nothing where one is not a number.
    const bool is_known = !logits.isnan().any().item<bool>();
    scores.push_back(is_known ? compute_metric(metric, predictions_of(logits, regression), examples.targets())
                              : std::numeric_limits<double>::quiet_NaN());
  }
  return scores;
}

std::vector<bool> finite_outputs(AdaptedModel& model, const ExampleView& examples, const std::vector<int64_t>& slots,
                                 bool language_model) {
  std::vector<bool> finite;
  if (language_model) {
    for (const double loss : held_out_losses(model, examples, slots)) finite.push_back(std::isfinite(loss));
    return finite;
  }
  for (const torch::Tensor& logits : predict_logits(model, examples, slots, kTokensPerBatch))
    finite.push_back(logits.isfinite().all().item<bool>());
  return finite;
}

}  // namespace loraxs
