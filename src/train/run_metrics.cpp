#include "train/run_metrics.h"

#include <algorithm>

#include "train/report.h"
#include "train/schedule.h"

namespace loraxs {

RunMetrics::RunMetrics(const TrainSetup& setup, RunFolder& folder, const TrainObserver& observer,
                       std::vector<JobRun>& jobs, TrainingState& state)
    : setup_(setup), folder_(folder), observer_(observer), jobs_(jobs), state_(state) {
  for (const JobRun& job : jobs) told_.push_back(job.state().ended.has_value());
}

void RunMetrics::stepped(const std::vector<JobRun*>& jobs, const std::vector<JobStep>& steps,
                         const std::vector<StepOutcome>& outcomes, double seconds) {
  ++state_.step;
  ++state_.loss_steps;
  state_.train_seconds += seconds;
  for (const JobStep& step : steps) {
    state_.sentences += static_cast<int64_t>(step.sequences.size());
    state_.tokens += step.num_tokens();
  }
  ends();
  std::vector<JobRun*> going_on;
  std::vector<double> losses;
  for (size_t i = 0; i < jobs.size(); ++i) {
    if (!outcomes[i].failure.empty()) continue;
    going_on.push_back(jobs[i]);
    losses.push_back(outcomes[i].loss);
  }
  if (state_.step % setup_.recipe.train.log_every == 0 || state_.step == plan().total_steps) step_line(going_on);
  if (!observer_.on_step || going_on.empty()) return;
  double mean = 0;
  for (const double loss : losses) mean += loss / static_cast<double>(losses.size());
  report(mean);
}

void RunMetrics::step_line(const std::vector<JobRun*>& jobs) {
  nlohmann::json losses = nlohmann::json::object();
  for (JobRun* job : jobs) losses[job->job().name] = job->take_loss_sum() / static_cast<double>(state_.loss_steps);
  for (JobRun& job : jobs_) job.take_loss_sum();  // of those that have stopped: nobody is told
  state_.loss_steps = 0;
  const double factor =
      schedule_factor(setup_.recipe.train.schedule, state_.step - 1, plan().warmup_steps, plan().total_steps);
  folder_.append_metrics(
      {{"event", "step"}, {"step", state_.step}, {"epoch", epoch()}, {"schedule", factor}, {"loss", losses}});
}

void RunMetrics::report(double loss) const {
  const double per_step = state_.train_seconds / static_cast<double>(state_.step);
  observer_.on_step({.step = state_.step,
                     .total_steps = plan().total_steps,
                     .epoch = epoch(),
                     .epochs = plan().epochs,
                     .loss = loss,
                     .sentences_per_second = static_cast<double>(state_.sentences) / state_.train_seconds,
                     .tokens_per_second = static_cast<double>(state_.tokens) / state_.train_seconds,
                     .seconds_left = per_step * static_cast<double>(plan().total_steps - state_.step)});
}

void RunMetrics::ends() {
  for (size_t j = 0; j < jobs_.size(); ++j) {
    if (told_[j] || !jobs_[j].state().ended) continue;
    told_[j] = true;
    const JobEnd& end = *jobs_[j].state().ended;
    const std::string& name = jobs_[j].job().name;
    folder_.append_metrics({{"event", "ended"},
                            {"step", end.step},
                            {"epoch", jobs_[j].epoch_of(end.step)},
                            {"job", name},
                            {"reason", end.reason}});
    if (observer_.on_end) observer_.on_end(name, end);
  }
}

void RunMetrics::evaluated(const std::vector<JobScore>& scores) {
  for (const JobScore& score : scores) {
    const JobState& state = score.job->state();
    const std::string& name = score.job->job().name;
    EpochReport shown{.epoch = score.job->epoch_of(state.step), .job = name, .train_loss = score.loss};
    nlohmann::json event = {
        {"event", "evaluation"}, {"step", state.step}, {"epoch", shown.epoch}, {"job", name}, {"loss", score.loss}};
    if (score.value) {
      event[score_key(setup_.metric)] = shown.value = *score.value;
      shown.best = state.best.step == state.step;
      if (score.validation) event["validation"] = *score.validation;
    }
    folder_.append_metrics(event);
    if (observer_.on_epoch) observer_.on_epoch(shown);
  }
}

void RunMetrics::sampled(const std::vector<TrainSample>& samples) {
  for (const TrainSample& sample : samples) {
    const auto job = std::find_if(jobs_.begin(), jobs_.end(), [&](const JobRun& j) { return j.slot() == sample.slot; });
    const std::string& name = job->job().name;
    folder_.append_metrics({{"event", "sample"},
                            {"step", state_.step},
                            {"epoch", epoch()},
                            {"job", name},
                            {"prompt", sample.prompt},
                            {"text", sample.text}});
    if (observer_.on_sample) observer_.on_sample(name, sample);
  }
}

}  // namespace loraxs
