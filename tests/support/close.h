// tests/support/close.h: tensors compared as a whole, with the largest difference in the message.
#pragma once
#include <gtest/gtest.h>
#include <torch/types.h>

namespace loraxs::test {

/// ‖x − reference‖ / ‖reference‖ over the whole tensor.
inline double relative_error(const torch::Tensor& x, const torch::Tensor& reference) {
  const torch::Tensor a = x.to(torch::kFloat64), b = reference.to(torch::kFloat64);
  return (a - b).norm().item<double>() / std::max(b.norm().item<double>(), 1e-300);
}

/// max |x − reference| / max |reference|: how logits are compared.
inline double largest_error(const torch::Tensor& x, const torch::Tensor& reference) {
  const torch::Tensor a = x.to(torch::kFloat64), b = reference.to(torch::kFloat64);
  return (a - b).abs().max().item<double>() / std::max(b.abs().max().item<double>(), 1e-300);
}

inline testing::AssertionResult close(const torch::Tensor& x, const torch::Tensor& reference, double tolerance) {
  if (x.sizes() != reference.sizes()) {
    return testing::AssertionFailure() << "shapes " << x.sizes() << " and " << reference.sizes();
  }
  const double error = relative_error(x, reference);
  if (error <= tolerance) return testing::AssertionSuccess() << "relative error " << error;
  const torch::Tensor difference = (x.to(torch::kFloat64) - reference.to(torch::kFloat64)).abs().reshape(-1);
  const int64_t where = difference.argmax().item<int64_t>();
  return testing::AssertionFailure() << "relative error " << error << " > " << tolerance << "; largest difference "
                                     << difference[where].item<double>() << " at flat index " << where << " of "
                                     << x.sizes();
}

}  // namespace loraxs::test
