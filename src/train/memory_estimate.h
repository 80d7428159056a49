// train/memory_estimate.h: what a training will hold in memory, from config and recipe alone.
#pragma once
#include <cstdint>

#include "adapt/layout.h"
#include "model/config.h"

namespace loraxs {

struct MemoryEstimate {
  int64_t weights = 0;      // the mapped file and the compute-ready copies of it, with the basis' columns
  int64_t rows = 0;         // values, gradients, two moments and the best row of every job
  int64_t activations = 0;  // of the largest micro-batch
  int64_t total() const { return weights + rows + activations; }
};

/// `number_bytes` of weights and activations in the compute dtype; rows are float32. Counts what backward keeps, not
/// the buffers of a moment nor LibTorch itself: RoBERTa-large with 32 CoLA sentences was measured 4 % above it
/// (docs/benchmarks.md).
MemoryEstimate estimate_memory(const Architecture& architecture, const ModelConfig& config, const Layout& layout,
                               int64_t jobs, int64_t tokens, int64_t number_bytes);

}  // namespace loraxs
