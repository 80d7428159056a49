// ops/slot_linear.h: a trained linear layer whose weight is part of each slot's row: task heads.
#pragma once
#include <torch/types.h>

#include <vector>

#include "ops/row_tensor.h"

namespace loraxs {

/// Weight and bias of consecutive rows of x.
struct SlotLinearSegment {
  int64_t begin = 0;
  int64_t end = 0;
  RowTensor weight;  // [own out_features, in_features]
  RowTensor bias;    // [own out_features]

  int64_t out_features() const { return weight.value.size(0); }
};

/// y = x Wᵀ + bias with each segment's own W -> [rows, out_features], the widest segment's; rows outside every segment
/// and columns past a segment's own are zero, and nothing flows back from them. Computed in the rows' dtype; x [rows,
/// in_features] is cast. Gradients of W and bias go straight into the bank, one chain of additions over the segment's
/// rows in order. `anchor` as in adapted_linear.
torch::Tensor slot_linear(const torch::Tensor& x, const torch::Tensor& anchor,
                          const std::vector<SlotLinearSegment>& segments, int64_t out_features);

}  // namespace loraxs
