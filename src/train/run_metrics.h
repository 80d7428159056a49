// train/run_metrics.h: what a run tells while it trains: lines of metrics.jsonl, and whoever watches.
#pragma once
#include <vector>

#include "train/checkpoint.h"
#include "train/evaluation.h"
#include "train/job_run.h"
#include "train/run_folder.h"
#include "train/train_observer.h"
#include "train/train_setup.h"

namespace loraxs {

/// Counts the steps of a run whose jobs go side by side. Every event stands in the folder's metrics before the observer
/// hears of it.
class RunMetrics {
 public:
  /// `state` has the run's counters; jobs that have ended in it have been told of. All must outlive this.
  RunMetrics(const TrainSetup& setup, RunFolder& folder, const TrainObserver& observer, std::vector<JobRun>& jobs,
             TrainingState& state);

  /// One step of `jobs`, which have taken its `outcomes`; it took `seconds`.
  void stepped(const std::vector<JobRun*>& jobs, const std::vector<JobStep>& steps,
               const std::vector<StepOutcome>& outcomes, double seconds);
  /// The jobs that have ended since the last call.
  void ends();
  void evaluated(const std::vector<JobScore>& scores);
  void sampled(const std::vector<TrainSample>& samples);

 private:
  void step_line(const std::vector<JobRun*>& jobs);
  void report(double loss) const;
  const StepPlan& plan() const { return jobs_.front().settings().plan; }
  int64_t epoch() const { return jobs_.front().epoch_of(state_.step); }

  const TrainSetup& setup_;
  RunFolder& folder_;
  const TrainObserver& observer_;
  std::vector<JobRun>& jobs_;
  TrainingState& state_;
  std::vector<bool> told_;  // per job: whether its end stands in the metrics
};

}  // namespace loraxs
