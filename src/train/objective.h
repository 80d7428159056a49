// train/objective.h: the loss of packed classification or regression batches, job by job.
#pragma once
#include <torch/types.h>

#include <vector>

#include "batch/packed_batch.h"

namespace loraxs {

struct ObjectiveValue {
  torch::Tensor total;             // scalar: Σ over jobs of the job's mean loss; backward() starts here
  std::vector<double> job_losses;  // per maximal run of one slot, in batch order
};

/// Cross-entropy (targets are class indices) or squared error (one output), averaged over each slot's sequences: a
/// job's gradient does not depend on who shares the batch.
ObjectiveValue objective(const torch::Tensor& logits, const PackedBatch& batch, bool regression);

}  // namespace loraxs
