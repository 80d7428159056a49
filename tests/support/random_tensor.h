// tests/support/random_tensor.h: tensors that depend on a seed only.
#pragma once
#include <torch/types.h>

#include "io/seeds.h"

namespace loraxs::test {

inline torch::Tensor normal(at::IntArrayRef shape, uint64_t seed, torch::ScalarType dtype = torch::kFloat32) {
  torch::Tensor values = torch::empty(shape, torch::TensorOptions().dtype(torch::kFloat64));
  fill_normal(std::span(values.mutable_data_ptr<double>(), values.numel()), seed, 1.0);
  return values.to(dtype);
}

inline torch::Tensor normal64(at::IntArrayRef shape, uint64_t seed) { return normal(shape, seed, torch::kFloat64); }

}  // namespace loraxs::test
