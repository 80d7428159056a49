#include "adapt/energy.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/linalg_qr.h>

#include <cmath>

#include "adapt/subspace.h"
#include "adapt/svd.h"
#include "io/seeds.h"

namespace loraxs {
namespace {

torch::Tensor random_columns(int64_t rows, int64_t columns, uint64_t seed) {
  torch::Tensor values = torch::empty({rows, columns}, torch::kFloat64);
  fill_normal(std::span(values.mutable_data_ptr<double>(), values.numel()), seed, 1.0);
  return std::get<0>(at::linalg_qr(values, "reduced"));
}

/// The smallest angle, and the mean of the squared cosines.
struct Angles {
  double degrees = 0, overlap = 0;
};
Angles angles_between(const torch::Tensor& x, const torch::Tensor& y) {
  constexpr double kDegrees = 180 / 3.14159265358979323846;
  const torch::Tensor cosines = principal_cosines(x, y);
  return {.degrees = std::acos(cosines[0].item<double>()) * kDegrees,
          .overlap = cosines.square().mean().item<double>()};
}

}  // namespace

CapturedEnergy captured_energies(const torch::Tensor& weight, const torch::Tensor& gradient, int64_t rank,
                                 uint64_t seed) {
  torch::NoGradGuard no_grad;
  const int64_t out_features = weight.size(0), in_features = weight.size(1);
  const SingularTriples of_weight = leading_triples(weight, rank), of_gradient = leading_triples(gradient, rank);
  const torch::Tensor left = random_columns(out_features, rank, derive_seed(seed, "left")),
                      right = random_columns(in_features, rank, derive_seed(seed, "right"));
  const Angles outputs = angles_between(of_weight.u, of_gradient.u),
               inputs = angles_between(of_weight.v, of_gradient.v);
  return {.weight = captured_energy({.a = of_weight.v.t(), .b = of_weight.u}, gradient),
          .random = captured_energy({.a = right.t(), .b = left}, gradient),
          .gradient = captured_energy({.a = of_gradient.v.t(), .b = of_gradient.u}, gradient),
          .expected_random = static_cast<double>(rank * rank) / static_cast<double>(out_features * in_features),
          .left_overlap = outputs.overlap,
          .right_overlap = inputs.overlap,
          .left_angle = outputs.degrees,
          .right_angle = inputs.degrees};
}

}  // namespace loraxs
