// adapt/fresh_head.h: task heads as jobs start with them.
#pragma once
#include <optional>

#include "adapt/adapter_set.h"
#include "model/base_model.h"

namespace loraxs {

/// The dense head layer of a checkpoint that has one, as BERT's pooler.
std::optional<HeadDense> pretrained_dense(const BaseModel& model);

/// The head that a job of this key starts with, in a bank of one without sites. Deterministic.
Bank fresh_head(const BaseModel& model, const HeadLayout& head, uint64_t job_key);

}  // namespace loraxs
