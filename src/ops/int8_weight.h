// ops/int8_weight.h: a frozen matrix as small integers with a scale per row and block of 32 columns.
#pragma once
#include <torch/types.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "ops/alongside.h"
#include "ops/block_tensor.h"
#include "ops/int8_product.h"

namespace loraxs {

/// The rows of several tensors, one under the other, in panels of sixteen (ops/int8_product.h). Q4_0, Q4_1, Q4_K and
/// Q8_0 blocks keep their integers and scales, so the matrix is the file's; other types and plain numbers are rounded
/// to eight bits: each is off by at most 1/254 of the largest in its row's block. Columns that fill no block are
/// padded with zeros.
class Int8Weight {
 public:
  /// `parts`: [rows, columns], all of one width; copied. `tail` [rows, columns] float32, below them, may be undefined:
  /// its products are there first, for the rows of what goes along.
  explicit Int8Weight(const std::vector<BlockTensor>& parts, const torch::Tensor& tail = {});

  int64_t rows() const { return rows_; }  // with the tail's
  int64_t columns() const { return columns_; }

  /// The first rows() columns of out [x rows, ·] = x [x rows, columns] · Wᵀ, float32 on the CPU, unit column stride. x
  /// is rounded to eight bits per row and block of 32; integers are multiplied exactly, and sums over blocks have one
  /// order: a row's bits depend neither on other rows nor on threads, nor on the instruction set (`kernel`).
  void multiply_(const torch::Tensor& out, const torch::Tensor& x, const Alongside& alongside = {},
                 const int8::Kernel& kernel = int8::kernel()) const;

 private:
  struct Part {
    int8::Format format;
    int64_t rows = 0, column = 0, first_panel = 0;  // its place in the product and among all panels
    std::vector<std::byte> panels;                  // [panels, blocks] of block_bytes(format)
  };
  class Product;
  void add_part(const BlockTensor& part);
  const Part& part_of(int64_t panel) const;

  int64_t rows_ = 0, columns_ = 0, blocks_ = 0, panels_ = 0, tail_panels_ = 0;
  std::vector<Part> parts_;
};

}  // namespace loraxs
