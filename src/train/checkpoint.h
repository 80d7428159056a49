// train/checkpoint.h: the state of a run between two steps, complete on disk or absent.
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace loraxs {

/// What a job knows of its best evaluation.
struct BestEpoch {
  int64_t step = 0;
  int64_t epoch = 0;                 // from 1; 0 = none yet
  double value = 0;                  // on the examples that choose
  std::optional<double> validation;  // on validation data, where others choose
  int64_t stale = 0;                 // evaluations since then
};

/// Everything that the rest of a run depends on. Random numbers are functions of counters, so there is no generator
/// state.
struct TrainingState {
  int64_t step = 0;                  // optimizer steps done
  torch::Tensor values;              // [jobs, row] as the bank's
  torch::Tensor first_moments;       // [jobs, row]
  torch::Tensor second_moments;      // [jobs, row]
  torch::Tensor best_values;         // [jobs, row] rows of the best epochs
  torch::Tensor importance;          // [jobs, adapter_numbers] of methods that prune; else undefined
  torch::Tensor uncertainty;         // [jobs, adapter_numbers] likewise
  std::vector<BestEpoch> best;       // per job
  std::vector<int64_t> job_steps;    // per job: fewer than `step` where patience ended it
  std::vector<double> loss_sums;     // per job, since the last step line
  std::vector<double> epoch_losses;  // per job, summed since the last evaluation
  int64_t loss_steps = 0;            // steps in loss_sums
  uint64_t metrics_bytes = 0;        // length of metrics.jsonl that belongs to this state
  double train_seconds = 0;          // wall time of steps so far
  int64_t sentences = 0;             // trained on so far
  int64_t tokens = 0;
};

/// What must agree between a checkpoint and the run that resumes it: recipe, data, base, basis, jobs; and, unless drift
/// is allowed, the GEMM table, thread count and precision.
struct RunIdentity {
  std::string content;   // digest over recipe, base_id, basis_id, data
  std::string numerics;  // gemm_record and precision
};

/// Writes checkpoints/step-N and removes all but the newest two.
void write_checkpoint(const std::filesystem::path& run, const TrainingState& state, const RunIdentity& identity);

/// The newest complete checkpoint of a run folder; nothing if there is none. Damaged ones are skipped. Throws Error
/// when the newest complete one belongs to another recipe or machine.
std::optional<TrainingState> read_newest_checkpoint(const std::filesystem::path& run, const RunIdentity& identity,
                                                    bool allow_drift);

}  // namespace loraxs
