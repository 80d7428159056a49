#include "train/step_engine.h"

#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>

#include "io/error.h"
#include "train/training_loss.h"

namespace loraxs {

namespace {

OptimizerRows optimizer_rows(const Bank& bank) {
  return {bank.values, bank.gradients, torch::zeros_like(bank.values), torch::zeros_like(bank.values)};
}

}  // namespace

StepEngine::StepEngine(AdaptedModel& model, int64_t tokens_per_batch)
    : model_(model), tokens_per_batch_(tokens_per_batch) {
  const AdapterSet& adapters = model.adapters();
  rows_.reserve(adapters.banks.size());
  for (const auto& bank : adapters.banks) rows_.push_back(optimizer_rows(*bank));
  free_.reserve(adapters.slots.size());
  for (auto slot = static_cast<int64_t>(adapters.slots.size()); slot > 0; --slot) free_.push_back(slot - 1);
}

int64_t StepEngine::take_slot() {
  TORCH_CHECK(!free_.empty(), "StepEngine::join: all ", model_.adapters().slots.size(), " rows are in training");
  const int64_t slot = free_.back();
  free_.pop_back();
  return slot;
}

int64_t StepEngine::join(const torch::Tensor& row) {
  const int64_t slot = take_slot();
  const OptimizerRows& rows = rows_of(slot);
  rows.values.select(0, place(slot).row).copy_(row);
  for (const torch::Tensor* others : {&rows.gradients, &rows.first_moments, &rows.second_moments}) {
    others->select(0, place(slot).row).zero_();
  }
  return slot;
}

int64_t StepEngine::join(std::shared_ptr<Bank> bank) {
  const int64_t slot = take_slot(), index = place(slot).bank;
  TORCH_CHECK(bank->num_adapters() == 1 && rows_[index].values.size(0) == 1, "StepEngine::join: a bank of one");
  rows_[index] = optimizer_rows(*bank);
  model_.replace_bank(index, std::move(bank));
  return slot;
}

void StepEngine::leave(int64_t slot) {
  TORCH_CHECK(std::find(free_.begin(), free_.end(), slot) == free_.end(), "StepEngine::leave: slot ", slot, " is free");
  free_.push_back(slot);
}

void StepEngine::check(std::span<const JobStep> jobs) const {
  std::vector<bool> free(model_.adapters().slots.size());
  for (const int64_t slot : free_) free[slot] = true;
  for (const JobStep& job : jobs) {
    TORCH_CHECK(!free.at(job.slot), "StepEngine::step: slot ", job.slot, " is no job's, or that of two");
    TORCH_CHECK(!job.pieces.empty(), "StepEngine::step: slot ", job.slot, " without sequences");
    free[job.slot] = true;
  }
}

std::vector<StepOutcome> StepEngine::step(std::span<const JobStep> jobs) {
  check(jobs);
  std::vector<StepOutcome> outcomes = accumulate(jobs);
  update(jobs, outcomes);
  return outcomes;
}

std::vector<StepOutcome> StepEngine::accumulate(std::span<const JobStep> jobs) {
  std::vector<StepOutcome> outcomes(jobs.size());
  std::vector<std::vector<BatchPiece>> cuts;
  cuts.reserve(jobs.size());
  for (const JobStep& job : jobs) cuts.push_back(job.pieces);
  const std::vector<std::vector<JobPiece>> groups = group_pieces(cuts, tokens_per_batch_);
  std::vector<ObjectiveValue> values;
  values.reserve(groups.size());
  for (const std::vector<JobPiece>& group : groups) {
    std::vector<Sequence> sequences;
    for (const JobPiece& part : group) {
      const auto first = jobs[part.job].sequences.begin();
      sequences.insert(sequences.end(), first + part.piece.begin, first + part.piece.end);
    }
    values.push_back(training_loss(model_, pack(sequences)));
    values.back().total.backward();  // adds to the rows' gradients
    values.back().total.reset();     // and lets go of what backward kept
  }
  const std::vector<std::vector<double>> losses = job_losses_of(values);
  for (size_t g = 0; g < groups.size(); ++g) {
    for (size_t p = 0; p < groups[g].size(); ++p) outcomes[groups[g][p].job].loss += losses[g][p];
  }
  return outcomes;
}

void StepEngine::update(std::span<const JobStep> jobs, std::vector<StepOutcome>& outcomes) {
  std::vector<torch::Tensor> gradients(jobs.size());  // of jobs that prune: the optimizer zeroes the rows' own
  for (size_t i = 0; i < jobs.size(); ++i) {
    if (jobs[i].allocator == nullptr) continue;
    const torch::Tensor gradient = rows_of(jobs[i].slot).gradients.select(0, place(jobs[i].slot).row);
    outcomes[i].loss += jobs[i].allocator->add_penalty_(row(jobs[i].slot), gradient);
    gradients[i] = gradient.clone();
  }
  std::vector<RowStep> steps;
  std::vector<size_t> stepping;  // the job of each
  steps.reserve(jobs.size());
  stepping.reserve(jobs.size());
  for (size_t i = 0; i < jobs.size(); ++i) {
    if (!std::isfinite(outcomes[i].loss)) continue;
    steps.push_back({.rows = &rows_of(jobs[i].slot),
                     .adapter = place(jobs[i].slot).row,
                     .step = jobs[i].step,
                     .segments = jobs[i].rates,
                     .config = jobs[i].adamw});
    stepping.push_back(i);
  }
  const std::vector<double> norms = adamw_steps_(steps);
  for (size_t s = 0; s < steps.size(); ++s) outcomes[stepping[s]].norm = norms[s];
  for (size_t i = 0; i < jobs.size(); ++i) {
    StepOutcome& outcome = outcomes[i];
    if (!std::isfinite(outcome.loss)) outcome.failure = concat("loss ", outcome.loss);
    if (!std::isfinite(outcome.norm)) outcome.failure = concat("gradient norm ", outcome.norm);
    if (!outcome.failure.empty()) {
      rows_of(jobs[i].slot).gradients.select(0, place(jobs[i].slot).row).zero_();
    } else if (jobs[i].allocator != nullptr) {
      const torch::Tensor clipped = gradients[i] * clip_factor(outcome.norm, jobs[i].adamw.max_grad_norm);
      jobs[i].allocator->prune_(row(jobs[i].slot), clipped, jobs[i].ranks, jobs[i].step);
    }
  }
}

}  // namespace loraxs
