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
  std::vector<JobRun*> last;
  std::vector<SlotExamples> examples;
  for (JobRun* job : jobs) {
    if (job->data().choosing.size() > 0 || !job->all_steps_done()) continue;
    std::vector<int64_t> first(std::min(job->settings().batch_size, job->examples().size()));
    std::iota(first.begin(), first.end(), 0);
    last.push_back(job);
    examples.push_back({job->slot(), job->examples().take(first)});
  }
  const std::vector<bool> finite = finite_outputs(engine_.model(), examples);
  for (size_t i = 0; i < last.size(); ++i) {
    if (!finite[i]) last[i]->end("finite outputs of the last row", "others");
  }
}

std::vector<std::optional<double>> Evaluation::score_on(ExampleView RunExamples::*kind,
                                                        const std::vector<JobRun*>& jobs) {
  std::vector<std::optional<double>> scores(jobs.size());
  std::vector<SlotExamples> examples;
  std::vector<size_t> scored;
  for (size_t i = 0; i < jobs.size(); ++i) {
    const ExampleView& own = jobs[i]->data().*kind;
    if (own.size() == 0) continue;
    examples.push_back({jobs[i]->slot(), own});
    scored.push_back(i);
  }
  const std::vector<double> values = score_each(engine_.model(), examples, metric_, regression_);
  for (size_t i = 0; i < scored.size(); ++i) scores[scored[i]] = values[i];
  return scores;
}

std::vector<JobScore> Evaluation::score(const std::vector<JobRun*>& jobs) {
  const std::vector<std::optional<double>> values = score_on(&RunExamples::choosing, jobs);
  const std::vector<std::optional<double>> reported = score_on(&RunExamples::reported, jobs);
  for (size_t i = 0; i < jobs.size(); ++i) {
    if (values[i]) jobs[i]->take_score(metric_, *values[i], engine_.row(jobs[i]->slot()));
    if (reported[i]) jobs[i]->take_validation(metric_, *reported[i]);
  }
  std::vector<JobScore> scores;
  scores.reserve(jobs.size());
  for (size_t i = 0; i < jobs.size(); ++i) {
    scores.push_back(
        {.job = jobs[i], .loss = jobs[i]->close_interval(), .value = values[i], .validation = reported[i]});
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
