// train/language_objective.h: the loss of packed language-model batches, job by job.
#pragma once
#include "adapt/adapted_model.h"
#include "train/objective.h"

namespace loraxs {

/// Forward and loss of a batch whose sequences know their targets: cross-entropy of every target times its sequence's
/// loss weight. A job's gradient does not depend on who shares the batch.
ObjectiveValue language_objective(AdaptedModel& model, const PackedBatch& batch);

}  // namespace loraxs
