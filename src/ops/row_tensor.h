// ops/row_tensor.h: a tensor that lives inside an adapter's row, with the place its gradient goes to.
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <vector>

namespace loraxs {

/// A segment of one row of a bank. Gradients are added straight into `gradients`; autograd never sees the bank.
struct RowTensor {
  torch::Tensor values;     // [adapters, row] float32 (float64 in tests); undefined = this slot has no such tensor
  torch::Tensor gradients;  // like values; undefined when the bank is not trained
  int64_t adapter = 0;
  int64_t offset = 0;
  std::vector<int64_t> shape;

  bool defined() const { return values.defined(); }
  int64_t numel() const {
    int64_t count = 1;
    for (const int64_t size : shape) count *= size;
    return count;
  }
  torch::Tensor value() const { return values.select(0, adapter).narrow(0, offset, numel()).view(shape); }
  torch::Tensor gradient() const { return gradients.select(0, adapter).narrow(0, offset, numel()).view(shape); }
};

}  // namespace loraxs
