// adapt/subspace.h: the updates that one basis can reach, S = {b R a}, and what of an update lies in it.
#pragma once
#include <torch/types.h>

#include "adapt/basis.h"

namespace loraxs {

/// left · right, never formed: the update of a LoRA, or of one R.
struct LowRank {
  torch::Tensor left;   // [out_features, rank]
  torch::Tensor right;  // [rank, in_features]
};

/// R that brings b R a nearest to `delta` [out_features, in_features] in the Frobenius norm, (bᵀb)⁻¹ bᵀ Δ aᵀ (a aᵀ)⁻¹
/// -> [rank, rank] float64. It does not ask for orthonormal factors.
torch::Tensor nearest_r(const SiteBasis& basis, const torch::Tensor& delta);
torch::Tensor nearest_r(const SiteBasis& basis, const LowRank& delta);

/// b R a with the nearest R: the orthogonal projection on S -> [out_features, in_features] float64.
torch::Tensor project_on(const SiteBasis& basis, const torch::Tensor& delta);

/// ‖projection‖² / ‖delta‖², in 0..1; 0 for delta = 0.
double captured_energy(const SiteBasis& basis, const torch::Tensor& delta);

/// ‖left · right‖ in the Frobenius norm, from the triangles of both factors' QR: exact where terms cancel.
double norm_of(const LowRank& product);
/// ‖x − y‖ / ‖x‖, nothing of size [out_features, in_features] formed; 0 where both are 0.
double relative_distance(const LowRank& x, const LowRank& y);

/// Cosines of the principal angles between the spans of the columns of x [n, r] and y [n, k], largest first ->
/// [min(r, k)] float64.
torch::Tensor principal_cosines(const torch::Tensor& x, const torch::Tensor& y);

}  // namespace loraxs
