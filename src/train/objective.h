// train/objective.h: the loss of packed classification or regression batches, job by job.
#pragma once
#include <torch/types.h>

#include <span>
#include <vector>

#include "batch/packed_batch.h"
#include "model/head.h"

namespace loraxs {

/// The loss of a batch. What the jobs' parts are stays where the model computes, until it is asked for: nothing waits
/// for a device before the backward pass is on its way.
struct ObjectiveValue {
  torch::Tensor total;          // scalar: Σ over jobs of their part of the step's loss; backward() starts here
  torch::Tensor terms;          // [terms] detached, in batch order
  std::vector<double> weights;  // [terms] of each in its job's mean loss
  std::vector<int64_t> ends;    // per maximal run of one slot, in batch order: where its terms end

  /// Per run of one slot: its part of the job's mean loss.
  std::vector<double> job_losses() const;
};

/// job_losses() of several batches, fetched from the device at once.
std::vector<std::vector<double>> job_losses_of(std::span<const ObjectiveValue> values);

/// Sets loss_weight of all sequences of one job's step, before it is cut into micro-batches: the loss is the mean over
/// the step's terms (one per sequence, or its target tokens where it has is_target), however it is cut.
void weigh_step(std::span<Sequence> step);

/// Cross-entropy over a sequence's own classes (targets are their indices) or squared error (regression), times its
/// loss weight: a job's gradient does not depend on who shares the batch, whatever heads they have. TORCH_CHECKs that
/// every sequence has a head.
ObjectiveValue objective(const HeadLogits& logits, const PackedBatch& batch);

}  // namespace loraxs
