// adapt/svd.h: leading singular triples, exact enough to be reproducible.
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <string>

namespace loraxs {

/// W ≈ u · diag(s) · vᵀ.
struct SingularTriples {
  torch::Tensor u;            // [out_features, rank] float64, columns orthonormal
  torch::Tensor s;            // [rank] float64, descending
  torch::Tensor v;            // [in_features, rank] float64, columns orthonormal
  double left_residual = 0;   // max over triples of ‖Wᵀu − σv‖ / σ₁
  double right_residual = 0;  // max over triples of ‖Wv − σu‖ / σ₁
  int64_t products = 0;       // columns multiplied by W or Wᵀ; 0 for the dense decomposition
};

/// The `rank` largest triples of `weight` [out_features, in_features] (any floating dtype; computed in float64). Block
/// Krylov (Golub-Kahan-Lanczos with full reorthogonalisation); where its space would exceed half of min(out, in), the
/// eigenvectors of the Gram matrix, or the dense SVD if those are not exact enough. Stops when both residuals of every
/// triple are ≤ 1e-9 · σ₁. `seed` picks the start block; the result does not depend on it beyond the tolerance. Sign:
/// the entry of largest magnitude of each column of u is positive (among entries within 1e-3 of the largest: the
/// first). TORCH_CHECK on rank outside 1..min(out, in).
SingularTriples leading_triples(const torch::Tensor& weight, int64_t rank, uint64_t seed = 0);

/// Throws Error with `name` where a number is not finite: such a matrix has no decomposition, and LAPACK fails on it.
/// Both functions here do so by themselves, with the words "the matrix to decompose".
void check_finite(const torch::Tensor& matrix, const std::string& name);

/// All min(out, in) triples by the dense decomposition, same signs.
SingularTriples all_triples(const torch::Tensor& weight);

}  // namespace loraxs
