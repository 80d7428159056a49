// ops/cpu_kernels.h: which form of an operator runs. Each has two: kernels of our own for the CPU, and X_plain, ATen
// operators alone, which run on any device and under autograd.
#pragma once
#include <torch/types.h>

namespace loraxs {

/// Whether x is on the CPU. `beside`, as far as they are defined, must be where x is: TORCH_CHECKs that nobody mixes
/// devices, before a kernel takes a pointer for one of the CPU's.
template <typename... Tensors>
bool on_cpu(const torch::Tensor& x, const Tensors&... beside) {
  [[maybe_unused]] const auto expect_beside = [&](const torch::Tensor& other) {
    TORCH_CHECK(!other.defined() || other.device() == x.device(), "an operator met tensors of two devices, ",
                x.device(), " and ", other.device());
  };
  (expect_beside(beside), ...);
  return x.device().is_cpu();
}

/// Whether the kernels take x: on the CPU, float32 or bfloat16, columns side by side. Else the plain form runs.
template <typename... Tensors>
bool on_cpu_kernels(const torch::Tensor& x, const Tensors&... beside) {
  return on_cpu(x, beside...) && (x.scalar_type() == torch::kFloat32 || x.scalar_type() == torch::kBFloat16) &&
         x.stride(-1) == 1;
}

}  // namespace loraxs
