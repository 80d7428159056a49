// A training, top to bottom. The jobs (job_run.h) say what their next step is, the engine (step_engine.h) computes it
// for all of them together, the evaluation (evaluation.h) scores rows, metrics and checkpoints
// (run_metrics.h, run_checkpoints.h) are what a run leaves in its folder while it goes on.
#include "train/loop.h"

#include <algorithm>
#include <chrono>

#include "io/error.h"
#include "train/evaluation.h"
#include "train/job_adapters.h"
#include "train/job_row.h"
#include "train/job_run.h"
#include "train/run_checkpoints.h"
#include "train/run_examples.h"
#include "train/run_metrics.h"
#include "train/step_engine.h"

namespace loraxs {
namespace {

using Clock = std::chrono::steady_clock;

/// The jobs of the recipe, each with its row in the engine: job j in slot j. They train on the same examples.
std::vector<JobRun> make_job_runs(const TrainSetup& setup, const std::vector<Job>& jobs, const JobSettings& settings,
                                  const RunExamples& examples, const TrainingState& state) {
  std::vector<JobRun> runs;
  for (size_t j = 0; j < jobs.size(); ++j) {
    const auto slot = static_cast<int64_t>(j);
    JobRows rows{.best = state.best_values[slot]};
    if (settings.allocator) rows.ranks = {state.importance[slot], state.uncertainty[slot]};
    runs.emplace_back(jobs[j], settings, examples, setup.layout, slot, rows);
  }
  return runs;
}

bool trains(const JobRun& job) { return !job.finished(); }
bool is_due(const JobRun& job) { return !job.stopped() && job.evaluation_due(); }

std::vector<JobRun*> jobs_that(bool (*have)(const JobRun&), std::vector<JobRun>& jobs) {
  std::vector<JobRun*> chosen;
  for (JobRun& job : jobs) {
    if (have(job)) chosen.push_back(&job);
  }
  return chosen;
}

/// The next step of the jobs that have one, together.
void step(const std::vector<JobRun*>& jobs, StepEngine& engine, RunMetrics& metrics) {
  const auto start = Clock::now();
  std::vector<JobStep> steps;
  steps.reserve(jobs.size());
  for (JobRun* job : jobs) steps.push_back(job->next_step());
  const std::vector<StepOutcome> outcomes = engine.step(steps);
  for (size_t i = 0; i < jobs.size(); ++i) jobs[i]->take(outcomes[i]);
  metrics.stepped(jobs, steps, outcomes, std::chrono::duration<double>(Clock::now() - start).count());
}

/// Scores the jobs whose time it is; those whose numbers have become none end here.
void evaluate(const TrainSetup& setup, std::vector<JobRun>& jobs, Evaluation& evaluation, StepEngine& engine,
              RunMetrics& metrics) {
  evaluation.end_broken_rows(jobs_that(is_due, jobs));
  metrics.ends();
  evaluation.end_mute_rows(jobs_that(is_due, jobs));
  metrics.ends();
  const std::vector<JobRun*> scored = jobs_that(is_due, jobs);
  const std::vector<JobScore> scores = evaluation.score(scored);
  metrics.evaluated(scores);
  if (setup.answer_samples && !scored.empty()) {
    metrics.sampled(setup.answer_samples(engine.model(), slots_of(scored)));
  }
  evaluation.end_unscored(scores);
  metrics.ends();
}

/// Throws Error, what came before it saved, when numbers that are not finite have ended every job.
void refuse_if_all_ended(const std::vector<JobRun>& jobs, const RunFolder& folder) {
  const auto has_ended = [](const JobRun& job) { return job.state().ended.has_value(); };
  if (!std::all_of(jobs.begin(), jobs.end(), has_ended)) return;
  const JobEnd& end = *jobs.front().state().ended;
  throw Error(concat(folder.path().string(), ": step ", end.step, ", job ", jobs.front().job().name, ": ", end.reason,
                     jobs.size() == 1 ? "" : concat("; all ", jobs.size(), " jobs have ended so")));
}

}  // namespace

TrainResult train(const TrainSetup& setup, RunFolder& folder, bool allow_drift, const TrainObserver& observer) {
  const std::vector<Job> recipe_jobs = make_jobs(setup.recipe.train, setup.task_name);
  const RunExamples examples = choose_examples(setup.recipe.train, setup.train, setup.validation);
  const JobSettings settings = job_settings(setup.recipe, setup.layout, examples.train);

  const std::shared_ptr<Bank> bank = make_job_bank(setup, static_cast<int64_t>(recipe_jobs.size()));
  AdaptedModel model(setup.model, setup.basis, AdapterSet::of_bank(bank), setup.dtype, setup.device,
                     weight_memory(setup.recipe.train.memory));
  model.limit_activations(setup.activation_limit);
  StepEngine engine(model, settings.tokens_per_batch);
  for (const Job& job : recipe_jobs) engine.join(first_row(setup, job));

  TrainingState state = fresh_state(*bank, recipe_jobs.size(), settings.allocator != nullptr);
  std::vector<JobRun> jobs = make_job_runs(setup, recipe_jobs, settings, examples, state);
  Evaluation evaluation(engine, setup.metric, setup.layout.head.regression);
  RunCheckpoints checkpoints(setup, folder, jobs, engine, state);
  checkpoints.restore(allow_drift);
  RunMetrics metrics(setup, folder, observer, jobs, state);

  for (auto training = jobs_that(trains, jobs); !training.empty(); training = jobs_that(trains, jobs)) {
    if (observer.stop_requested && observer.stop_requested()) {
      checkpoints.save();
      throw Interrupted(state.step);
    }
    step(training, engine, metrics);
    const bool due = std::any_of(jobs.begin(), jobs.end(), is_due);
    if (due) evaluate(setup, jobs, evaluation, engine, metrics);
    if (due || checkpoints.save_due()) checkpoints.save();
  }
  checkpoints.save();  // where jobs have ended between two evaluations
  TrainResult result = write_job_adapters(setup, folder.path(), jobs, *bank, state, examples.choosing.size() > 0);
  refuse_if_all_ended(jobs, folder);
  return result;
}

}  // namespace loraxs
