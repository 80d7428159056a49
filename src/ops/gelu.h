// ops/gelu.h: the exact GELU, x · Φ(x), on the wide output of a projection.
#pragma once
#include <torch/types.h>

namespace loraxs {

/// GELU of x[:, :columns] -> [rows, columns]. x [rows, width ≥ columns] includes its bias; the gradient has x's width
/// with zeros from `columns` on. Keeps x and recomputes in backward.
torch::Tensor gelu(const torch::Tensor& x, int64_t columns);

/// The same by ATen alone: on any device (ops/cpu_kernels.h).
torch::Tensor gelu_plain(const torch::Tensor& x, int64_t columns);

}  // namespace loraxs
