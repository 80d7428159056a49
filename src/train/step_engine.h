// train/step_engine.h: optimizer steps of any jobs together: one forward and backward per group of pieces, one pass of
// the optimizer over their rows.
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "adapt/adapted_model.h"
#include "ops/row_optimizer.h"
#include "train/job_step.h"

namespace loraxs {

/// Rows in training, with their gradients and moments. Jobs join and leave; those of one call need not be at the same
/// step, nor share data, settings or totals. What a job's step does to its row follows from the step alone: not one bit
/// of it depends on the slot or on who shares the call, where rows of the GEMM do not (`loraxs doctor`). Knows no
/// files, data or schedules. Belongs to one thread.
class StepEngine {
 public:
  /// The slots of `model`, which must outlive this, are rows for as many jobs as may train at a time. Pieces are
  /// grouped up to `tokens_per_batch` tokens: memory and speed, no bit.
  StepEngine(AdaptedModel& model, int64_t tokens_per_batch);

  /// Takes in a row [row] with moments of zero and returns its slot: the lowest that is free, or that of the job that
  /// left last. TORCH_CHECKs that one is free.
  int64_t join(const torch::Tensor& row);
  /// The same of a job whose row has a layout of its own, and with it a bank of one with gradients: that takes the
  /// place of the slot's bank, which must be of one too.
  int64_t join(std::shared_ptr<Bank> bank);
  /// Frees a slot; its row is the next one's to overwrite.
  void leave(int64_t slot);

  /// One step of every job of `jobs`, in that order. A job whose loss or gradient is not finite keeps its row, and no
  /// bit of the others depends on it. TORCH_CHECKs that each has a slot of its own and sequences.
  std::vector<StepOutcome> step(std::span<const JobStep> jobs);

  AdaptedModel& model() { return model_; }
  /// [row], the row itself.
  torch::Tensor row(int64_t slot) const { return rows_of(slot).values.select(0, place(slot).row); }
  /// Values, gradients and moments of the bank that a slot's row is in: what a checkpoint keeps and brings back.
  const OptimizerRows& rows_of(int64_t slot) const { return rows_[place(slot).bank]; }

 private:
  const SlotRef& place(int64_t slot) const { return model_.adapters().slots.at(slot); }
  int64_t take_slot();
  void check(std::span<const JobStep> jobs) const;
  /// Adds the step's gradients to the rows', group by group; returns every job's loss.
  std::vector<StepOutcome> accumulate(std::span<const JobStep> jobs);
  /// One optimizer step of every row, side by side.
  void update(std::span<const JobStep> jobs, std::vector<StepOutcome>& outcomes);

  AdaptedModel& model_;
  int64_t tokens_per_batch_;
  std::vector<OptimizerRows> rows_;  // of each bank
  std::vector<int64_t> free_;        // slots, the next one last
};

}  // namespace loraxs
