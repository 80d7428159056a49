// adapt/distance.h: how far apart adapters are, from their rows and the basis alone.
#pragma once
#include <torch/types.h>

#include <memory>
#include <vector>

#include "adapt/adapter_set.h"
#include "adapt/basis.h"

namespace loraxs {

/// Coordinates in which Euclid's geometry is that of ΔW -> [adapters, coordinates] float64: lengths are ‖ΔW‖ over all
/// sites, inner products ⟨ΔWᵢ, ΔWⱼ⟩. Per site scale · T_b R T_aᵀ with b = Q T_b and aᵀ = Q' T_a; for singular vectors
/// T_b = 1 and T_a = Σ. Banks of one on one basis; smaller ranks are padded and missing sites are zero. Nothing of the
/// size of a weight is formed.
torch::Tensor delta_coordinates(const std::vector<std::shared_ptr<Bank>>& adapters, const Basis& basis);

}  // namespace loraxs
