#include "ops/trained_linear.h"

#include <ATen/core/grad_mode.h>

#include "ops/frozen_gemm.h"
#include "ops/skinny_gemm.h"

namespace loraxs {
namespace {

/// xᵀ with zero columns up to a round count -> [columns, ≥ rows]: oneDNN generates code for every inner size too.
torch::Tensor padded_transpose(const torch::Tensor& x) {
  constexpr int64_t kRound = 64;
  const int64_t rows = x.size(0), padded = (rows + kRound - 1) / kRound * kRound;
  torch::Tensor result = torch::empty({x.size(1), padded}, x.options());
  result.narrow(1, 0, rows).copy_(x.t());
  result.narrow(1, rows, padded - rows).zero_();
  return result;
}

}  // namespace

torch::Tensor trained_linear(const torch::Tensor& x, const RowTensor& weight, const RowTensor& bias) {
  torch::NoGradGuard no_grad;
  return frozen_gemm(x, weight.value.to(x.options()), bias.defined() ? bias.value.to(x.options()) : torch::Tensor());
}

torch::Tensor trained_linear_backward_(const torch::Tensor& dy, const torch::Tensor& x, const RowTensor& weight,
                                       const RowTensor& bias, bool needs_dx) {
  torch::NoGradGuard no_grad;
  if (weight.trains()) {
    weight.gradient.add_(frozen_gemm(padded_transpose(dy), padded_transpose(x), {}));
  }
  if (bias.defined() && bias.trains()) {
    const torch::Tensor sums = bias.gradient;
    skinny_gemm_(sums.unsqueeze(0), torch::ones({1, dy.size(0)}, sums.options()), dy.to(sums.scalar_type()), 1.0,
                 /*accumulate=*/true);
  }
  if (!needs_dx) return {};
  return frozen_gemm(dy.contiguous(), weight.value.t().to(dy.options()).contiguous(), {});
}

}  // namespace loraxs
