// train/job_run.h: one job under way: its data, order, schedule and settings, and how far it has come.
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "adapt/rank_allocator.h"
#include "train/job.h"
#include "train/job_state.h"
#include "train/job_step.h"
#include "train/recipe.h"
#include "train/run_examples.h"

namespace loraxs {

/// What of a recipe decides a job's numbers, beside its data, seed and rates.
struct JobSettings {
  int64_t batch_size = 32;            // examples of one step
  int64_t tokens_per_batch = 1024;    // a step is cut into pieces of about so many: decides in what order it is summed
  int64_t gradient_accumulation = 1;  // pieces, at least
  StepPlan plan;
  std::string schedule = "linear";
  AdamWConfig adamw;
  int64_t eval_every = 1;                          // steps between evaluations
  int64_t patience = 0;                            // evaluations without a better one that end the job; 0 = any number
  bool trains_sites = true;                        // false: the head alone
  std::shared_ptr<const RankAllocator> allocator;  // of methods that prune; jobs of equal settings share one
};

/// Those of a recipe's jobs on `examples`, with rows of `layout`.
JobSettings job_settings(const Recipe& recipe, const Layout& layout, const ExampleView& examples);

/// What a job keeps of rows beside the one that the engine trains: views of somebody's tensors, or tensors of its own.
struct JobRows {
  torch::Tensor best;  // [row] of the best evaluation
  RankMemory ranks;    // with an allocator
};

/// Makes one step after the other for a StepEngine and takes what became of it. Nothing in it depends on other jobs.
/// Opens no files.
class JobRun {
 public:
  /// A job before its first step, whose row of `layout` has the engine's `slot`.
  JobRun(Job job, JobSettings settings, RunExamples examples, const Layout& layout, int64_t slot, JobRows rows);

  const Job& job() const { return job_; }
  const JobSettings& settings() const { return settings_; }
  const JobState& state() const { return state_; }
  int64_t slot() const { return slot_; }
  const ExampleView& examples() const { return data_.train; }  // that train
  const RunExamples& data() const { return data_; }

  /// Goes on from a checkpoint; the rows are the caller's to fill.
  void restore(const JobState& state) { state_ = state; }

  /// Ended by patience, or by a number that is not finite.
  bool stopped() const;
  bool all_steps_done() const { return state_.step >= settings_.plan.total_steps; }
  bool finished() const { return stopped() || all_steps_done(); }
  /// Of the epoch that step `step` (from 1) belongs to, from 1.
  int64_t epoch_of(int64_t step) const { return (step - 1) / settings_.plan.steps_per_epoch + 1; }
  /// Whether an evaluation follows the last step.
  bool evaluation_due() const;

  /// The next `batch_size` examples in the job's own order, weighted for the whole step and cut by its own budget.
  JobStep next_step();
  /// Counts the step, or ends the job.
  void take(const StepOutcome& outcome);
  /// Ends the job at its last step. `expected` and `found` complete a sentence.
  void end(const std::string& expected, const std::string& found) { end_at(state_.step, expected, found); }

  /// Takes the score of the row as it is. Whether it is the best so far: then the row is kept.
  bool take_score(const std::string& metric, double value, const torch::Tensor& row);
  /// Takes the score of the row as it is on validation data, where others choose; after take_score.
  void take_validation(const std::string& metric, double value);
  /// Mean loss of the steps since the last evaluation; a new interval begins.
  double close_interval();
  /// Σ of losses since the last call.
  double take_loss_sum();

 private:
  void end_at(int64_t step, const std::string& expected, const std::string& found);

  Job job_;
  JobSettings settings_;
  RunExamples data_;
  int64_t adapter_numbers_, row_size_, slot_;
  JobRows rows_;
  JobState state_;
  std::vector<int64_t> order_;  // of the examples in epoch order_epoch_
  int64_t order_epoch_ = -1;
};

}  // namespace loraxs
