// train/train_observer.h: what a training tells whoever watches, and how it is asked to stop.
#pragma once
#include <cstdint>
#include <exception>
#include <functional>
#include <string>

#include "train/job_state.h"

namespace loraxs {

/// After every step.
struct StepReport {
  int64_t step = 0, total_steps = 0;
  int64_t epoch = 0, epochs = 0;
  double loss = 0;  // mean over jobs of this step's loss
  double sentences_per_second = 0, tokens_per_second = 0;
  double seconds_left = 0;
};

/// After every evaluation, once per job.
struct EpochReport {
  int64_t epoch = 0;
  std::string job;
  double train_loss = 0;
  double value = 0;  // the metric on the examples that choose
  bool best = false;
};

/// What a job answered to one of the recipe's prompts after an evaluation.
struct TrainSample {
  int64_t slot = 0;  // of the job's row
  std::string prompt, text;
};

struct TrainObserver {
  std::function<void(const StepReport&)> on_step;
  std::function<void(const EpochReport&)> on_epoch;
  std::function<void(const std::string& job, const TrainSample&)> on_sample;
  std::function<void(const std::string& job, const JobEnd&)> on_end;  // a job alone; the others go on
  std::function<bool()> stop_requested;  // asked before every step; true: save and throw Interrupted
};

/// Thrown after the state was saved.
struct Interrupted final : std::exception {
  explicit Interrupted(int64_t at) : step(at) {}
  int64_t step = 0;
};

}  // namespace loraxs
