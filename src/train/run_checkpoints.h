// train/run_checkpoints.h: the state of a run as its folder keeps it: written between steps, and gone on from.
#pragma once
#include <chrono>
#include <vector>

#include "train/checkpoint.h"
#include "train/job_run.h"
#include "train/run_folder.h"
#include "train/step_engine.h"
#include "train/train_setup.h"

namespace loraxs {

/// The state of a run before its first step: `jobs` jobs, which are the rows of `bank`. JobRows are views of its
/// tensors.
TrainingState fresh_state(const Bank& bank, size_t jobs, bool prunes);

class RunCheckpoints {
 public:
  /// `state` has the run's counters and the tensors that the jobs' rows are views of; jobs and engine have the rest of
  /// it. All must outlive this.
  RunCheckpoints(const TrainSetup& setup, RunFolder& folder, std::vector<JobRun>& jobs, StepEngine& engine,
                 TrainingState& state);

  /// Goes on from the newest checkpoint of the folder, if there is one, and cuts the metrics to it. Throws as
  /// read_newest_checkpoint.
  void restore(bool allow_drift);
  /// Writes a checkpoint, unless the newest one is of this step: a whole copy is never written over by its equal.
  void save();
  /// Whether as much time has passed since the last checkpoint as the recipe wants.
  bool save_due() const;

 private:
  using Clock = std::chrono::steady_clock;

  /// The state with jobs and rows as they are now.
  TrainingState snapshot() const;

  const TrainSetup& setup_;
  RunFolder& folder_;
  std::vector<JobRun>& jobs_;
  StepEngine& engine_;
  TrainingState& state_;
  RunIdentity identity_;
  int64_t saved_step_ = -1;  // of the newest checkpoint
  Clock::time_point last_checkpoint_ = Clock::now();
};

}  // namespace loraxs
