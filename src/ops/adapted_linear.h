// ops/adapted_linear.h: frozen projections that read one input, joined in one GEMM, with their LoRA-XS adapters.
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <vector>

#include "ops/frozen_weight.h"
#include "ops/row_tensor.h"

namespace loraxs {

/// One adapted projection inside a joined one.
struct JoinedSite {
  int64_t column = 0;  // where its output starts in the wide output
  int64_t out_features = 0;
  int64_t u_column = 0;        // where u = x aᵀ starts in the wide output
  int64_t rank = 0;            // rows of a in the wide weight: the largest rank in use; smaller adapters use the prefix
  torch::Tensor b;             // [out_features, rank] float32 (float64 in tests)
  torch::Tensor b_transposed;  // [rank, out_features], contiguous
};

/// [W₁; W₂; …; a₁; a₂; …] in the compute dtype, made once. width = Σ out_features + Σ rank.
struct JoinedProjection {
  FrozenWeight weight;            // [width, in_features]
  torch::Tensor bias;             // [width], zero for the rows of a
  int64_t out_features = 0;       // Σ out_features; columns from here on are u's
  std::vector<JoinedSite> sites;  // the adapted ones only
};

/// The adapters of consecutive rows of x: one entry per site of the projection.
struct SegmentAdapters {
  struct Site {
    RowTensor r;       // [rank, rank]; undefined: this slot has no adapter here
    double scale = 1;  // alpha / rank
  };
  int64_t begin = 0;
  int64_t end = 0;
  std::vector<Site> sites;
};

/// y = x Wᵀ + bias + scale · x aᵀ Rᵀ bᵀ per site and slot -> [rows, width]; columns from out_features on hold u.
/// The gradient that comes back has the same width; its u columns are this function's own scratch and are overwritten.
/// Backward: v = scale · dy b, dR += vᵀ u (into the bank), dx = [dy | v R] · [W; a]. Of the activations only u is kept.
/// `anchor` is a scalar that requires grad: where x does not (lowest layer), it keeps this node in the graph; dx is
/// then not computed.
torch::Tensor adapted_linear(const torch::Tensor& x, const torch::Tensor& anchor, const JoinedProjection& projection,
                             const std::vector<SegmentAdapters>& segments);

/// The same by dense ATen operators for one site and one slot: y = x Wᵀ + bias + scale · x aᵀ Rᵀ bᵀ -> [rows,
/// out_features].
torch::Tensor adapted_linear_reference(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias,
                                       const torch::Tensor& a, const torch::Tensor& b, const torch::Tensor& r,
                                       double scale);

}  // namespace loraxs
