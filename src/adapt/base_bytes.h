// adapt/base_bytes.h: what a base held ready to compute takes of memory, from its config and files alone.
#pragma once
#include <torch/types.h>

#include <cstdint>

#include "model/base_model.h"
#include "ops/frozen_weight.h"

namespace loraxs {

constexpr int64_t kProcessBytes = 165'000'000;  // peak of a training of a model of 100,000 numbers

/// The program with its libraries, and the mapped file (tight), integers (int8) or the compute-ready copies of its
/// weights for `directions` of products: 2 to train, 1 otherwise. Absent files are taken for 16-bit numbers (decoders)
/// or 32-bit.
int64_t resident_base_bytes(const BaseModel& model, torch::ScalarType dtype, WeightMemory memory, int64_t directions);

}  // namespace loraxs
