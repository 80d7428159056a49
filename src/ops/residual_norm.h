// ops/residual_norm.h: dropout, residual and LayerNorm in one pass each way.
#pragma once
#include <torch/types.h>

#include "ops/dropout.h"

namespace loraxs {

/// LayerNorm(residual + dropout(y[:, :hidden])) · weight + bias -> [rows, hidden].
/// y [rows, width ≥ hidden] is the wide output of an adapted projection; its gradient has the same width, with zeros in
/// the columns from `hidden` on. residual [rows, hidden]; weight, bias [hidden] frozen, float32 (float64 for float64).
/// Statistics in float32. Keeps the normalised rows and 1/σ only.
torch::Tensor residual_norm(const torch::Tensor& y, const torch::Tensor& residual, const torch::Tensor& weight,
                            const torch::Tensor& bias, double eps, const Dropout& dropout, const RowKeys& rows);

/// The same by ATen alone: on any device (ops/cpu_kernels.h).
torch::Tensor residual_norm_plain(const torch::Tensor& y, const torch::Tensor& residual, const torch::Tensor& weight,
                                  const torch::Tensor& bias, double eps, const Dropout& dropout, const RowKeys& rows);

}  // namespace loraxs
