// ops/slot_products.h: z = scale · u Rᵀ, where every row has its own adapter's R.
#pragma once
#include <torch/types.h>

#include <vector>

#include "ops/row_tensor.h"

namespace loraxs {

/// The R of consecutive rows of u.
struct SlotMatrix {
  int64_t begin = 0;
  int64_t end = 0;
  const RowTensor* r = nullptr;  // [rank, rank], rank ≤ the columns of u; borrowed for the call
  double scale = 1;
};

/// z [rows, largest rank], dtype of the rows; u [rows, largest rank], any row stride, float32, bfloat16 or float64.
/// Rows in no segment and columns past a segment's rank are 0. Every element is one chain of additions over the rank in
/// order, so a row's bits do not depend on how many rows share its segment.
torch::Tensor slot_products(const torch::Tensor& u, const std::vector<SlotMatrix>& segments);

}  // namespace loraxs
