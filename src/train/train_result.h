// train/train_result.h: what a training leaves, job by job.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "adapt/layout.h"
#include "train/job.h"
#include "train/job_state.h"

namespace loraxs {

struct JobResult {
  Job job;
  BestEpoch best;  // epoch 0 and value 0 without examples that choose, and where no score was a number
  double last_loss = 0;
  std::optional<JobEnd> ended;  // a loss, gradient or row that is not finite
  bool has_adapter = true;      // false: it ended before an evaluation chose a row
};

struct TrainResult {
  bool selected = false;  // some examples chose epochs; else the last rows are the best
  std::vector<JobResult> jobs;
  Layout layout;
  double train_seconds = 0;  // steps alone
  int64_t sentences = 0, tokens = 0;
  int64_t steps = 0;
  int64_t adapter_bytes = 0;      // of one file
  int64_t peak_memory_bytes = 0;  // of the process, see io/peak_memory.h
};

}  // namespace loraxs
