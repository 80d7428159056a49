#include "train/evaluation.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "eval/score.h"
#include "io/error.h"

namespace loraxs {

std::vector<int64_t> slots_of(const std::vector<JobRun*>& jobs) {
  std::vector<int64_t> slots;
  slots.reserve(jobs.size());
  for (const JobRun* job : jobs) slots.push_back(job->slot());
  return slots;
}

void Evaluation::end_broken_rows(const std::vector<JobRun*>& jobs) {
  for (JobRun* job : jobs) {
    if (engine_.row(job->slot()).isfinite().all().item<bool>()) continue;
    job->end("a finite loss and gradient", "a row with numbers that are not");
  }
}

void Evaluation::end_mute_rows(const std::vector<JobRun*>& jobs) {
  if (examples_.choosing.size() > 0) return;
  for (JobRun* job : jobs) {
    if (!job->all_steps_done()) continue;
    std::vector<int64_t> first(std::min(job->settings().batch_size, job->examples().size()));
    std::iota(first.begin(), first.end(), 0);
    AdaptedModel& model = engine_.model();
    if (finite_outputs(model, job->examples().take(first), {job->slot()}, model.generates()).front()) continue;
    job->end("finite outputs of the last row", "others");
  }
}

std::vector<double> Evaluation::score_on(const ExampleView& examples, const std::vector<JobRun*>& jobs) {
  if (examples.size() == 0 || jobs.empty()) return {};
  return score_slots(engine_.model(), examples, slots_of(jobs), metric_, regression_);
}

std::vector<JobScore> Evaluation::score(const std::vector<JobRun*>& jobs) {
  const std::vector<double> values = score_on(examples_.choosing, jobs);
  std::vector<JobRun*> better;
  for (size_t i = 0; i < values.size(); ++i) {
    if (jobs[i]->take_score(metric_, values[i], engine_.row(jobs[i]->slot()))) better.push_back(jobs[i]);
  }
  const std::vector<double> reported = score_on(examples_.reported, better);
  for (size_t i = 0; i < reported.size(); ++i) better[i]->take_validation(reported[i]);
  std::vector<JobScore> scores;
  scores.reserve(jobs.size());
  for (size_t i = 0; i < jobs.size(); ++i) {
    scores.push_back({.job = jobs[i], .loss = jobs[i]->close_interval()});
    if (!values.empty()) scores.back().value = values[i];
  }
  return scores;
}

void Evaluation::end_unscored(const std::vector<JobScore>& scores) {
  for (const JobScore& score : scores) {
    if (!score.value || std::isfinite(*score.value) || !score.job->all_steps_done()) continue;
    score.job->end("a last row whose score is a number", concat(metric_, " ", *score.value));
  }
}

}  // namespace loraxs
