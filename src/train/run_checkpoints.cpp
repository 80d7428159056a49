#include "train/run_checkpoints.h"

#include "io/error.h"
#include "io/sha256.h"
#include "ops/frozen_gemm.h"
#include "train/recipe_changes.h"

namespace loraxs {
namespace {

RunIdentity identity_of(const TrainSetup& setup) {
  Sha256 digest;
  digest.update(recipe_content(setup.recipe).dump()).update(setup.model.base_id).update(setup.basis->basis_id);
  if (setup.start) digest.update(setup.start->row_digest);
  for (const ExampleView* examples : {&setup.train, &setup.validation}) {
    for (int64_t i = 0; i < examples->size(); ++i) {
      const double target = examples->target(i);
      digest.update(std::as_bytes(std::span(examples->encoding(i).input_ids)));
      digest.update(std::as_bytes(std::span(&target, 1)));
    }
  }
  return {.content = digest.hex(), .numerics = concat(torch::toString(setup.dtype), " ", gemm_record())};
}

}  // namespace

TrainingState fresh_state(const Bank& bank, size_t jobs, bool prunes) {
  TrainingState state{.best_values = bank.values.cpu().clone()};
  if (prunes) {
    state.importance = torch::zeros({bank.num_adapters(), bank.layout->adapter_numbers}, bank.values.options());
    state.uncertainty = torch::zeros_like(state.importance);
  }
  state.jobs.resize(jobs);
  return state;
}

RunCheckpoints::RunCheckpoints(const TrainSetup& setup, RunFolder& folder, std::vector<JobRun>& jobs,
                               StepEngine& engine, TrainingState& state)
    : setup_(setup), folder_(folder), jobs_(jobs), engine_(engine), state_(state), identity_(identity_of(setup)) {}

TrainingState RunCheckpoints::snapshot() const {
  TrainingState state = state_;
  const OptimizerRows& rows = engine_.rows_of(0);
  state.values = rows.values.cpu();
  state.first_moments = rows.first_moments.cpu();
  state.second_moments = rows.second_moments.cpu();
  for (torch::Tensor* memory : {&state.importance, &state.uncertainty}) {
    if (memory->defined()) *memory = memory->cpu();
  }
  for (size_t j = 0; j < jobs_.size(); ++j) state.jobs[j] = jobs_[j].state();
  return state;
}

void RunCheckpoints::restore(bool allow_drift) {
  auto saved = read_newest_checkpoint(folder_.path(), identity_, allow_drift, snapshot());
  const uint64_t bytes = saved ? saved->metrics_bytes : 0, there = folder_.start_metrics(bytes);
  if (there < bytes) {
    folder_.append_metrics({{"event", "gap"}, {"step", saved->step}, {"missing_bytes", bytes - there}});
  }
  last_checkpoint_ = Clock::now();
  if (!saved) {
    if (setup_.start) folder_.append_metrics({{"event", "start"}, {"step", 0}, {"from", setup_.start->to_json()}});
    return;
  }
  const OptimizerRows& rows = engine_.rows_of(0);
  for (const auto& [ours, theirs] : {std::pair{&rows.values, &saved->values},
                                     {&rows.first_moments, &saved->first_moments},
                                     {&rows.second_moments, &saved->second_moments},
                                     {&state_.best_values, &saved->best_values},
                                     {&state_.importance, &saved->importance},
                                     {&state_.uncertainty, &saved->uncertainty}}) {
    if (ours->defined()) ours->copy_(*theirs);  // the jobs look at ours
    *theirs = *ours;
  }
  state_ = std::move(*saved);
  saved_step_ = state_.step;
  for (size_t j = 0; j < jobs_.size(); ++j) jobs_[j].restore(state_.jobs[j]);
}

void RunCheckpoints::save() {
  if (state_.step == saved_step_) return;
  state_.metrics_bytes = folder_.sync_metrics();
  write_checkpoint(folder_.path(), snapshot(), identity_);
  saved_step_ = state_.step;
  last_checkpoint_ = Clock::now();
}

bool RunCheckpoints::save_due() const {
  return std::chrono::duration<double>(Clock::now() - last_checkpoint_).count() >=
         setup_.recipe.train.checkpoint_seconds;
}

}  // namespace loraxs
