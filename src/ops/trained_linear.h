// ops/trained_linear.h: a projection whose whole weight stands in a slot's row: full fine-tuning.
#pragma once
#include <torch/types.h>

#include "ops/row_tensor.h"

namespace loraxs {

/// x [rows, in_features] · weightᵀ + bias (may be undefined) -> [rows, out_features] in x's dtype. No autograd.
torch::Tensor trained_linear(const torch::Tensor& x, const RowTensor& weight, const RowTensor& bias);

/// Adds dyᵀ x and Σ dy to the row's gradients, where it has any; with `needs_dx` returns dy · weight -> [rows,
/// in_features]. All three products are the frozen GEMM's, whose shapes are rounded up so that oneDNN's code is met
/// again.
torch::Tensor trained_linear_backward_(const torch::Tensor& dy, const torch::Tensor& x, const RowTensor& weight,
                                       const RowTensor& bias, bool needs_dx);

}  // namespace loraxs
