// train/training_loss.h: forward and loss of a training batch, of whatever kind the model is.
#pragma once
#include "adapt/adapted_model.h"
#include "train/objective.h"

namespace loraxs {

/// Decoders: language_objective. Encoders: the objective of their heads' logits. Training: dropout acts, and backward()
/// of the total adds to the banks' gradients.
ObjectiveValue training_loss(AdaptedModel& model, const PackedBatch& batch);

}  // namespace loraxs
