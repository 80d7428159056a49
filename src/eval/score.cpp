#include "eval/score.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "batch/token_budget.h"
#include "eval/metrics.h"

namespace loraxs {
namespace {

/// Where a sequence of a batch comes from.
struct Place {
  size_t job = 0;
  int64_t example = 0;
};

/// Forwards the examples of all jobs, one job after the other, in batches of about kTokensPerBatch tokens.
void for_each_batch(std::span<const SlotExamples> jobs,
                    const std::function<void(const PackedBatch& batch, std::span<const Place> places)>& forward) {
  std::vector<Sequence> sequences;
  std::vector<Place> places;
  int64_t tokens = 0;
  const auto flush = [&] {
    if (sequences.empty()) return;
    forward(pack(sequences), places);
    sequences.clear();
    places.clear();
    tokens = 0;
  };
  for (size_t job = 0; job < jobs.size(); ++job) {
    const ExampleView& examples = jobs[job].examples;
    for (int64_t i = 0; i < examples.size(); ++i) {
      if (tokens + examples.length(i) > kTokensPerBatch) flush();
      sequences.push_back(examples.sequence(i, jobs[job].slot));
      places.push_back({.job = job, .example = i});
      tokens += examples.length(i);
    }
  }
  flush();
}

/// Logits of each job's own examples -> [jobs][examples, outputs] float32 on the CPU.
std::vector<torch::Tensor> logits_of_each(AdaptedModel& model, std::span<const SlotExamples> jobs) {
  torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> results(jobs.size());
  for_each_batch(jobs, [&](const PackedBatch& batch, std::span<const Place> places) {
    const HeadLogits heads = model.logits(batch, /*training=*/false);
    for (const HeadRun& run : heads.runs) {
      const torch::Tensor logits = heads.of(run).to(torch::kCPU, torch::kFloat32);  // [sequences of the run, outputs]
      for (int64_t i = run.begin; i < run.end; ++i) {
        torch::Tensor& result = results[places[i].job];
        if (!result.defined()) result = torch::empty({jobs[places[i].job].examples.size(), logits.size(1)});
        result.select(0, places[i].example).copy_(logits.select(0, i - run.begin));
      }
    }
  });
  return results;
}

/// Mean cross-entropy of each job over all targets of its own examples.
std::vector<double> losses_of_each(AdaptedModel& model, std::span<const SlotExamples> jobs) {
  torch::NoGradGuard no_grad;
  std::vector<double> sums(jobs.size()), targets(jobs.size());
  for_each_batch(jobs, [&](const PackedBatch& batch, std::span<const Place> places) {
    const torch::Tensor losses =
        model.token_loss(batch, /*training=*/false).losses.to(torch::kCPU, torch::kFloat64).contiguous();  // [asked]
    for (size_t i = 0; i < places.size(); ++i) {
      const int32_t begin = batch.asked_starts[i], end = batch.asked_starts[i + 1];
      const double* loss = losses.const_data_ptr<double>();
      sums[places[i].job] += std::accumulate(loss + begin, loss + end, 0.0);
      targets[places[i].job] += end - begin;
    }
  });
  for (size_t job = 0; job < jobs.size(); ++job) sums[job] /= targets[job];
  return sums;
}

double metric_of(const torch::Tensor& logits, const ExampleView& examples, const std::string& metric, bool regression) {
  // The index of a largest logit says nothing where one is not a number.
  if (logits.isnan().any().item<bool>()) return std::numeric_limits<double>::quiet_NaN();
  return compute_metric(metric, predictions_of(logits, regression), examples.targets());
}

}  // namespace

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
  scores.reserve(slots.size());
  for (const torch::Tensor& logits : predict_logits(model, examples, slots, kTokensPerBatch, proceed)) {
    scores.push_back(metric_of(logits, examples, metric, regression));
  }
  return scores;
}

std::vector<double> score_each(AdaptedModel& model, std::span<const SlotExamples> jobs, const std::string& metric,
                               bool regression) {
  if (jobs.empty()) return {};
  const ExampleView& first = jobs.front().examples;
  if (std::all_of(jobs.begin(), jobs.end(), [&](const SlotExamples& job) { return job.examples == first; })) {
    std::vector<int64_t> slots;
    slots.reserve(jobs.size());
    for (const SlotExamples& job : jobs) slots.push_back(job.slot);
    return score_slots(model, first, slots, metric, regression);
  }
  if (metric == "loss") return losses_of_each(model, jobs);
  const std::vector<torch::Tensor> logits = logits_of_each(model, jobs);
  std::vector<double> scores;
  scores.reserve(jobs.size());
  for (size_t j = 0; j < jobs.size(); ++j) {
    scores.push_back(metric_of(logits[j], jobs[j].examples, metric, regression));
  }
  return scores;
}

std::vector<bool> finite_outputs(AdaptedModel& model, std::span<const SlotExamples> jobs) {
  std::vector<bool> finite;
  finite.reserve(jobs.size());
  if (model.generates()) {
    for (const double loss : losses_of_each(model, jobs)) finite.push_back(std::isfinite(loss));
    return finite;
  }
  for (const torch::Tensor& logits : logits_of_each(model, jobs))
    finite.push_back(logits.isfinite().all().item<bool>());
  return finite;
}

}  // namespace loraxs
