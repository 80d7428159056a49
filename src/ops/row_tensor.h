// ops/row_tensor.h: tensors that live inside an adapter's row, with the place their gradients go to.
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <numeric>
#include <vector>

namespace loraxs {

/// Where a tensor stands in every row of a layout.
struct RowPart {
  int64_t offset = -1;  // first element; -1: the rows have no such tensor
  std::vector<int64_t> shape;

  bool defined() const { return offset >= 0; }
  int64_t numel() const { return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>()); }
};

/// One adapter's row during a call. Gradients are added straight into `gradients`; autograd never sees the bank.
struct AdapterRow {
  torch::Tensor values;     // [row] float32 (float64 in tests)
  torch::Tensor gradients;  // like values; undefined when nothing of it is trained
  double alpha = 0;
};

/// One tensor of one row: views into it.
struct RowTensor {
  torch::Tensor value;     // undefined: the row has no such tensor
  torch::Tensor gradient;  // of the same shape; undefined when it is not trained

  RowTensor() = default;
  RowTensor(const AdapterRow& row, const RowPart& part) {
    if (!part.defined()) return;
    const auto view = [&](const torch::Tensor& t) { return t.narrow(0, part.offset, part.numel()).view(part.shape); };
    value = view(row.values);
    if (row.gradients.defined()) gradient = view(row.gradients);
  }
  bool defined() const { return value.defined(); }
  bool trains() const { return gradient.defined(); }
};

}  // namespace loraxs
