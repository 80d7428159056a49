// train/language_objective.h: the loss of packed language-model batches, job by job.
#pragma once
#include <span>

#include "adapt/adapted_model.h"
#include "train/objective.h"

namespace loraxs {

/// Sets loss_weight of all sequences of one job's step: the loss is the mean over the step's targets, however the step
/// is cut into batches.
void weigh_targets(std::span<Sequence> step);

/// Forward and loss of a batch whose sequences know their targets: cross-entropy of every target times its sequence's
/// loss weight. A job's gradient does not depend on who shares the batch.
ObjectiveValue language_objective(AdaptedModel& model, const PackedBatch& batch);

}  // namespace loraxs
