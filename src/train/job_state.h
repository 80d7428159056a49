// train/job_state.h: how far a job has come: what of it a checkpoint keeps beside its rows.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

namespace loraxs {

/// What a job knows of its best evaluation.
struct BestEpoch {
  int64_t step = 0;
  int64_t epoch = 0;                      // from 1; 0 = none yet
  double value = 0;                       // on the examples that choose
  std::optional<double> validation;       // on validation data, where others choose
  std::optional<double> best_validation;  // the best there of all evaluations, whichever was chosen
  int64_t stale = 0;                      // evaluations since then
};

/// Where and why a job ended before the others: numbers that are not finite.
struct JobEnd {
  int64_t step = 0;
  std::string reason;  // "expected …, found …; …", as people read it
};

struct JobState {
  int64_t step = 0;  // the job's own optimizer steps done
  BestEpoch best;
  std::optional<JobEnd> ended;
  double loss_sum = 0;    // of the steps since its last line in metrics.jsonl
  double epoch_loss = 0;  // of the steps since its last evaluation
  double last_loss = 0;   // mean between its last two evaluations; 0 before the first
};

}  // namespace loraxs
