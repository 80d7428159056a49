// ops/cross_entropy.h: a frozen output projection and the cross-entropy of its logits, fused in chunks of rows.
#pragma once
#include <torch/types.h>

#include "ops/frozen_weight.h"

namespace loraxs {

struct CrossEntropy {
  torch::Tensor total;   // scalar float32 (float64): Σ weights · losses; backward() starts here
  torch::Tensor losses;  // [rows] float32 (float64), without gradient
};

/// losses = −log softmax(hidden · Wᵀ)[target] for W [vocab, hidden] = `projection`, hidden [rows, hidden], targets
/// [rows] int64, weights [rows] float32 (float64). Logits stand in chunks of rows, never whole; where hidden requires
/// grad, d hidden is computed from the chunk at hand, so that backward only scales it. A row's result does not depend
/// on the chunk it falls into (see frozen_gemm). Softmax and loss in float32 (float64).
CrossEntropy linear_cross_entropy(const torch::Tensor& hidden, const FrozenWeight& projection,
                                  const torch::Tensor& targets, const torch::Tensor& weights);

/// The same by differentiable ATen operators, all logits at once; weight [vocab, hidden] plain.
CrossEntropy linear_cross_entropy_reference(const torch::Tensor& hidden, const torch::Tensor& weight,
                                            const torch::Tensor& targets, const torch::Tensor& weights);

}  // namespace loraxs
