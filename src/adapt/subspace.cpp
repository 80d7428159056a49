#include "adapt/subspace.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/linalg_pinv.h>
#include <ATen/ops/linalg_qr.h>
#include <ATen/ops/linalg_svdvals.h>

namespace loraxs {
namespace {

torch::Tensor wide(const torch::Tensor& tensor) { return tensor.to(torch::kFloat64); }

/// The triangle of `tall`'s QR: all that lengths and inner products of its columns depend on.
torch::Tensor triangle(const torch::Tensor& tall) { return std::get<1>(at::linalg_qr(wide(tall), "r")); }

torch::Tensor orthonormal(const torch::Tensor& columns) { return std::get<0>(at::linalg_qr(wide(columns), "reduced")); }

}  // namespace

torch::Tensor nearest_r(const SiteBasis& basis, const LowRank& delta) {
  torch::NoGradGuard no_grad;
  const torch::Tensor left = at::linalg_pinv(wide(basis.b)).matmul(wide(delta.left));    // [rank, k]
  const torch::Tensor right = wide(delta.right).matmul(at::linalg_pinv(wide(basis.a)));  // [k, rank]
  return left.matmul(right);
}

torch::Tensor nearest_r(const SiteBasis& basis, const torch::Tensor& delta) {
  torch::NoGradGuard no_grad;
  return at::linalg_pinv(wide(basis.b)).matmul(wide(delta)).matmul(at::linalg_pinv(wide(basis.a)));
}

torch::Tensor project_on(const SiteBasis& basis, const torch::Tensor& delta) {
  return wide(basis.b).matmul(nearest_r(basis, delta)).matmul(wide(basis.a));
}

double captured_energy(const SiteBasis& basis, const torch::Tensor& delta) {
  torch::NoGradGuard no_grad;
  const double whole = wide(delta).square().sum().item<double>();
  if (whole == 0) return 0;
  const double part = norm_of({.left = wide(basis.b).matmul(nearest_r(basis, delta)), .right = basis.a});
  return part * part / whole;
}

double norm_of(const LowRank& product) {
  torch::NoGradGuard no_grad;
  return triangle(product.left).matmul(triangle(product.right.t()).t()).norm().item<double>();
}

double relative_distance(const LowRank& x, const LowRank& y) {
  torch::NoGradGuard no_grad;
  const double size = norm_of(x);
  const double difference = norm_of(
      {.left = torch::cat({wide(x.left), -wide(y.left)}, 1), .right = torch::cat({wide(x.right), wide(y.right)}, 0)});
  if (difference == 0) return 0;
  return difference / size;
}

torch::Tensor principal_cosines(const torch::Tensor& x, const torch::Tensor& y) {
  torch::NoGradGuard no_grad;
  return at::linalg_svdvals(orthonormal(x).t().matmul(orthonormal(y))).clamp_max(1.0);
}

}  // namespace loraxs
