// adapt/energy.h: how much of a gradient one basis can reach: the diagnostic of the paper's Observation 3.1.
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <string>

namespace loraxs {

/// Shares of ‖G‖² that lie in S = {b R a} for three bases of one rank, and the angles between the first and the third.
struct CapturedEnergy {
  double weight = 0;           // top singular vectors of the weight: LoRA-XS
  double random = 0;           // random orthonormal vectors
  double gradient = 0;         // top singular vectors of the gradient itself: the most that any pair captures
  double expected_random = 0;  // rank² / (out · in)
  double left_overlap = 0;     // mean cos² of the principal angles between output subspaces of weight and gradient
  double right_overlap = 0;    // of input subspaces; between random subspaces rank / width
  double left_angle = 0;       // the smallest principal angle between the output subspaces, in degrees
  double right_angle = 0;
};

/// weight, gradient [out_features, in_features]; rank in 1..min(out, in). `seed` draws the random pair.
CapturedEnergy captured_energies(const torch::Tensor& weight, const torch::Tensor& gradient, int64_t rank,
                                 uint64_t seed);

}  // namespace loraxs
