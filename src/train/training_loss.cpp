#include "train/training_loss.h"

#include "train/language_objective.h"

namespace loraxs {

ObjectiveValue training_loss(AdaptedModel& model, const PackedBatch& batch) {
  if (model.generates()) return language_objective(model, batch);
  return objective(model.logits(batch, /*training=*/true), batch);
}

}  // namespace loraxs
