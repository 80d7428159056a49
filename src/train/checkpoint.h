// train/checkpoint.h: the state of a run between two steps, complete on disk or absent.
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "train/checkpoint_folder.h"
#include "train/job_state.h"

namespace loraxs {

/// Everything that the rest of a run depends on. Random numbers are functions of counters, so there is no generator
/// state.
struct TrainingState {
  int64_t step = 0;              // optimizer steps done
  torch::Tensor values;          // [jobs, row] as the bank's
  torch::Tensor first_moments;   // [jobs, row]
  torch::Tensor second_moments;  // [jobs, row]
  torch::Tensor best_values;     // [jobs, row] rows of the best epochs
  torch::Tensor importance;      // [jobs, adapter_numbers] of methods that prune; else undefined
  torch::Tensor uncertainty;     // [jobs, adapter_numbers] likewise
  std::vector<JobState> jobs;    // their steps: fewer than `step` where one ended before
  int64_t loss_steps = 0;        // steps in the jobs' loss_sum
  uint64_t metrics_bytes = 0;    // length of metrics.jsonl that belongs to this state
  double train_seconds = 0;      // wall time of steps so far
  int64_t sentences = 0;         // trained on so far
  int64_t tokens = 0;
};

/// See write_checkpoint_folder.
void write_checkpoint(const std::filesystem::path& run, const TrainingState& state, const RunIdentity& identity);

/// The newest complete checkpoint of a run folder; nothing if there is none. Damaged ones are skipped. `fresh` is the
/// run's state before its first step: jobs and shapes that a checkpoint must have. Throws Error when the newest
/// complete one belongs to another recipe or machine or has other shapes, and when one cannot be read at all.
std::optional<TrainingState> read_newest_checkpoint(const std::filesystem::path& run, const RunIdentity& identity,
                                                    bool allow_drift, const TrainingState& fresh);

}  // namespace loraxs
