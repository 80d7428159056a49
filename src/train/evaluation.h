// train/evaluation.h: jobs between two steps: whose row computes something, how they score, which rows are the best.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "train/job_run.h"
#include "train/step_engine.h"

namespace loraxs {

/// What an evaluation says of one job.
struct JobScore {
  JobRun* job = nullptr;
  double loss = 0;                   // mean of the steps since the last one
  std::optional<double> value;       // on the examples that choose, if there are any
  std::optional<double> validation;  // on validation data, where others choose
};

/// Scores jobs in the rows of an engine; tells the jobs, and ends those that can be scored no more. No files. Belongs
/// to one thread.
class Evaluation {
 public:
  /// `metric` as in eval/metrics.h. `engine` must outlive this.
  Evaluation(StepEngine& engine, std::string metric, bool regression)
      : engine_(engine), metric_(std::move(metric)), regression_(regression) {}

  /// Ends the jobs whose rows hold numbers that are not finite.
  void end_broken_rows(const std::vector<JobRun*>& jobs);
  /// Without examples that choose, a job's last row is its best and must compute something, on its first training
  /// examples: rows can be finite and so large that nothing else is. Ends those at their last step that do not.
  void end_mute_rows(const std::vector<JobRun*>& jobs);
  /// Scores jobs on their examples that choose, keeps the rows of the better ones, and scores those on the validation
  /// data if others chose. A score that is not finite is no better than any.
  std::vector<JobScore> score(const std::vector<JobRun*>& jobs);
  /// Ends the jobs at their last step whose score is no number.
  void end_unscored(const std::vector<JobScore>& scores);

 private:
  /// Scores jobs on their own examples of that kind, packed together; none for those that have no such examples.
  std::vector<std::optional<double>> score_on(ExampleView RunExamples::*kind, const std::vector<JobRun*>& jobs);

  StepEngine& engine_;
  std::string metric_;
  bool regression_;
};

/// Where the jobs' rows are.
std::vector<int64_t> slots_of(const std::vector<JobRun*>& jobs);

}  // namespace loraxs
