// tests/support/fused_operator.h: fused operators beside their plain forms, outputs and gradients.
#pragma once
#include <gtest/gtest.h>
#include <torch/csrc/autograd/custom_function.h>

#include <functional>
#include <vector>

#include "support/close.h"
#include "support/random_tensor.h"

namespace loraxs::test {

using Tensors = std::vector<torch::Tensor>;
using Operator = std::function<Tensors(const Tensors&)>;

/// Outputs, then gradients of Σ weights · outputs with fixed random weights.
inline Tensors outputs_and_gradients(const Operator& f, const Tensors& inputs) {
  Tensors in;
  for (const torch::Tensor& x : inputs) in.push_back(x.detach().clone().requires_grad_(true));
  Tensors outputs = f(in);
  torch::Tensor total = torch::zeros({}, torch::kFloat64);
  uint64_t seed = 90;
  for (const torch::Tensor& y : outputs) {
    total = total + (y.to(torch::kFloat64) * normal(y.sizes(), ++seed, torch::kFloat64)).sum();
  }
  total.backward();
  for (torch::Tensor& y : outputs) y = y.detach();
  for (const torch::Tensor& x : in) outputs.push_back(x.grad());
  return outputs;
}

/// bfloat16 keeps eight significant bits: a number is rounded by at most 2⁻⁹ of itself. Between an input and a result
/// our operators round three times at most: what comes in from the loss, one tensor on the way, and the result. The
/// errors are as good as independent, so a whole tensor's norm hardly sees half of that.
constexpr double kBfloatTolerance = 3.0 / 512;

/// The fused operator in `dtype` against the plain one in float64 on the same (rounded) inputs.
inline void expect_fused_equals_plain_in(torch::ScalarType dtype, double tolerance, const Operator& fused,
                                         const Operator& plain, const Tensors& inputs) {
  Tensors rounded, wide;
  for (const torch::Tensor& x : inputs) {
    rounded.push_back(x.to(dtype));
    wide.push_back(rounded.back().to(torch::kFloat64));
  }
  const Tensors found = outputs_and_gradients(fused, rounded), expected = outputs_and_gradients(plain, wide);
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_TRUE(close(found[i], expected[i], tolerance)) << torch::toString(dtype) << " tensor " << i;
    // Control: a factor that is off by three tolerances does not pass.
    EXPECT_FALSE(close(found[i].to(torch::kFloat64) * (1 + 3 * tolerance), expected[i], tolerance)) << "tensor " << i;
  }
}

inline void expect_fused_equals_plain(const Operator& fused, const Operator& plain, const Tensors& inputs) {
  expect_fused_equals_plain_in(torch::kFloat32, 2e-6, fused, plain, inputs);
  expect_fused_equals_plain_in(torch::kBFloat16, kBfloatTolerance, fused, plain, inputs);
}

}  // namespace loraxs::test
