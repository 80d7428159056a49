// ops/gated_mlp.h: activation(gate) · up on the wide output of a joined projection (Shazeer, arXiv 2002.05202).
#pragma once
#include <torch/types.h>

#include "ops/gate_activation.h"

namespace loraxs {

/// activation(x[:, :columns]) · x[:, columns:2·columns] -> [rows, columns]. x [rows, width ≥ 2 · columns]; the gradient
/// has x's width with zeros from 2 · columns on. Keeps x and recomputes in backward. One rounding, at the end.
torch::Tensor gated_mlp(const torch::Tensor& x, int64_t columns, GateActivation activation);

/// The same by ATen alone: on any device (ops/cpu_kernels.h).
torch::Tensor gated_mlp_plain(const torch::Tensor& x, int64_t columns, GateActivation activation);

}  // namespace loraxs
