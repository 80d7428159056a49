// train/objective.h: the loss of packed classification or regression batches, job by job.
#pragma once
#include <torch/types.h>

#include <span>
#include <vector>

#include "batch/packed_batch.h"

namespace loraxs {

struct ObjectiveValue {
  torch::Tensor total;             // scalar: Σ over jobs of their part of the step's loss; backward() starts here
  std::vector<double> job_losses;  // per maximal run of one slot, in batch order: its part of the job's mean loss
};

/// Sets loss_weight of all sequences of one job's step, before it is cut into micro-batches: the loss is the mean over
/// the step's terms (one per sequence, or its target tokens where it has is_target), however it is cut.
void weigh_step(std::span<Sequence> step);

/// Cross-entropy (targets are class indices) or squared error (one output), times each sequence's loss weight: a job's
/// gradient does not depend on who shares the batch.
ObjectiveValue objective(const torch::Tensor& logits, const PackedBatch& batch, bool regression);

}  // namespace loraxs
