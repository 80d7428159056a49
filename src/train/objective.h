// train/objective.h: the loss of packed classification or regression batches, job by job.
#pragma once
#include <torch/types.h>

#include <span>
#include <vector>

#include "batch/packed_batch.h"
#include "model/head.h"

namespace loraxs {

struct ObjectiveValue {
  torch::Tensor total;             // scalar: Σ over jobs of their part of the step's loss; backward() starts here
  std::vector<double> job_losses;  // per maximal run of one slot, in batch order: its part of the job's mean loss
};

/// Sets loss_weight of all sequences of one job's step, before it is cut into micro-batches: the loss is the mean over
/// the step's terms (one per sequence, or its target tokens where it has is_target), however it is cut.
void weigh_step(std::span<Sequence> step);

/// Cross-entropy over a sequence's own classes (targets are their indices) or squared error (regression), times its
/// loss weight: a job's gradient does not depend on who shares the batch, whatever heads they have. TORCH_CHECKs that
/// every sequence has a head.
ObjectiveValue objective(const HeadLogits& logits, const PackedBatch& batch);

}  // namespace loraxs
