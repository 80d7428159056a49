// train/memory_estimate.h: what a training will hold in memory, from config and recipe alone.
#pragma once
#include <torch/types.h>

#include <algorithm>
#include <cstdint>
#include <string>

#include "adapt/base_bytes.h"
#include "adapt/layout.h"
#include "model/base_model.h"
#include "ops/frozen_weight.h"
#include "train/recipe.h"

namespace loraxs {

/// One optimizer step as far as memory goes.
struct StepShape {
  int64_t jobs = 1;
  int64_t tokens = 0;                            // of the largest micro-batch
  bool starts_from_gradient = false;             // of the whole weights, once (train/gradient_start.h)
  torch::ScalarType dtype = torch::kFloat32;     // of weights and activations; rows are float32
  WeightMemory weights = WeightMemory::kNormal;  // how the base's are kept
  int64_t limit = 0;                             // bytes that the process may take; 0 = as many as it needs
};

struct MemoryEstimate {
  int64_t base = 0;               // see resident_base_bytes
  int64_t basis = 0;              // of all sites, and its copies
  int64_t rows = 0;               // values, gradients, two moments and the best row of every job
  int64_t activations = 0;        // of the largest micro-batch
  int64_t activation_limit = -1;  // for Backbone::limit_activations; -1: all are kept
  int64_t gradient_pass = 0;      // of task_gradient before the first step, gone when that begins; 0: there is none
  int64_t total() const { return std::max(base + basis + rows + activations, gradient_pass); }
};

/// The step of a recipe with so many jobs on `sentences` examples of `tokens` in all; 0 tokens: not counted, every text
/// is max_length.
StepShape step_shape(const TrainRecipe& train, int64_t jobs, int64_t sentences, int64_t tokens,
                     torch::ScalarType dtype);

/// Counts what backward keeps and a decoder layer's own buffers. Throws Error with `where` when the limit is below what
/// is left with every layer computed again.
MemoryEstimate estimate_memory(const BaseModel& model, const Layout& layout, const StepShape& step,
                               const std::string& where);

}  // namespace loraxs
