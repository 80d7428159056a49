#include "ops/block_tensor.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <array>

#include "ops/block_formats.h"
#include "ops/simd.h"

namespace loraxs {
namespace {

using namespace blocks;

template <typename Type>
LORAXS_INLINE void unpack_row(const Byte* blocks, int64_t elements, float* out) {
  int64_t i = 0;
  if constexpr (Type::kElements == 1) {
    for (; i + 8 <= elements; i += 8) Lanes::store(out + i, Type::eight(blocks + i * Type::kBytes));
  }
  for (; i < elements; i += Type::kElements) Type::unpack(blocks + i / Type::kElements * Type::kBytes, out + i);
}

/// Σ x w in 32 chains, and one for what is left.
LORAXS_INLINE float dot(const float* x, const float* w, int64_t count) {
  Floats sums[4] = {};
  int64_t i = 0;
  for (; i + 32 <= count; i += 32) {
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) sums[c] += Lanes::load(x + i + 8 * c) * Lanes::load(w + i + 8 * c);
  }
  const Floats all = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  float sum = ((all[0] + all[4]) + (all[2] + all[6])) + ((all[1] + all[5]) + (all[3] + all[7]));
  for (; i < count; ++i) sum += x[i] * w[i];
  return sum;
}

struct Product {
  const float* x;
  void* out;
  int64_t rows, x_stride, out_stride;
};

template <typename Type, typename T>
LORAXS_INLINE void multiply_row(const Byte* blocks, int64_t columns, float* scratch, const Product& p, int64_t column) {
  unpack_row<Type>(blocks, columns, scratch);
  for (int64_t r = 0; r < p.rows; ++r) {
    simd::narrow(static_cast<T*>(p.out) + r * p.out_stride + column, dot(p.x + r * p.x_stride, scratch, columns));
  }
}

using Unpack = void (*)(const Byte* blocks, int64_t elements, float* out);
using Multiply = void (*)(const Byte* blocks, int64_t columns, float* scratch, const Product& p, int64_t column);
struct Kernels {
  BlockType type;
  Unpack unpack;
  Multiply float32, bfloat16;
};

// Clones per instruction set cannot be templates: the functions of each type are written out by name.
#define LORAXS_BLOCK_KERNELS(Type, kind)                                                                    \
  LORAXS_KERNEL void unpack_##Type(const Byte* blocks, int64_t elements, float* out) {                      \
    unpack_row<Type>(blocks, elements, out);                                                                \
  }                                                                                                         \
  LORAXS_KERNEL void float32_##Type(const Byte* blocks, int64_t columns, float* scratch, const Product& p,  \
                                    int64_t column) {                                                       \
    multiply_row<Type, float>(blocks, columns, scratch, p, column);                                         \
  }                                                                                                         \
  LORAXS_KERNEL void bfloat16_##Type(const Byte* blocks, int64_t columns, float* scratch, const Product& p, \
                                     int64_t column) {                                                      \
    multiply_row<Type, c10::BFloat16>(blocks, columns, scratch, p, column);                                 \
  }                                                                                                         \
  constexpr Kernels kernels_of_##Type = {BlockType::kind, unpack_##Type, float32_##Type, bfloat16_##Type}

LORAXS_BLOCK_KERNELS(F32, kF32);
LORAXS_BLOCK_KERNELS(F16, kF16);
LORAXS_BLOCK_KERNELS(BF16, kBF16);
LORAXS_BLOCK_KERNELS(Q80, kQ8_0);
LORAXS_BLOCK_KERNELS(Q40, kQ4_0);
LORAXS_BLOCK_KERNELS(Q41, kQ4_1);
LORAXS_BLOCK_KERNELS(Q50, kQ5_0);
LORAXS_BLOCK_KERNELS(Q51, kQ5_1);
LORAXS_BLOCK_KERNELS(Q4K, kQ4_K);
LORAXS_BLOCK_KERNELS(Q5K, kQ5_K);
LORAXS_BLOCK_KERNELS(Q6K, kQ6_K);
#undef LORAXS_BLOCK_KERNELS

const Kernels& kernels_of(BlockType type) {
  static const std::array all = {kernels_of_F32, kernels_of_F16, kernels_of_BF16, kernels_of_Q80,
                                 kernels_of_Q40, kernels_of_Q41, kernels_of_Q50,  kernels_of_Q51,
                                 kernels_of_Q4K, kernels_of_Q5K, kernels_of_Q6K};
  for (const Kernels& kernels : all) {
    if (kernels.type == type) return kernels;
  }
  TORCH_CHECK(false, "dequantize: type ", block_type_info(type).name, " is not one of ", readable_block_types());
}

LORAXS_KERNEL void narrow_row(const float* from, int64_t count, c10::BFloat16* to) {
  for (int64_t i = 0; i < count; ++i) simd::narrow(to + i, from[i]);
}

const Byte* row_at(const BlockTensor& tensor, int64_t row) {
  const int64_t row_bytes = block_type_info(tensor.type).row_bytes(tensor.columns());
  return reinterpret_cast<const Byte*>(tensor.bytes.data()) + tensor.stored_row(row) * row_bytes;
}

/// Rows source(0), source(1), … into `out` [rows, columns].
template <typename Source>
void unpack_rows(const torch::Tensor& out, const BlockTensor& tensor, const Source& source) {
  const int64_t columns = tensor.columns();
  const auto dtype = out.scalar_type();
  TORCH_CHECK(out.is_contiguous() && (dtype == torch::kFloat32 || dtype == torch::kBFloat16) && out.size(-1) == columns,
              "dequantize: out ", out.sizes(), " ", dtype, " for rows of ", columns);
  const Unpack unpack = kernels_of(tensor.type).unpack;
  char* to = static_cast<char*>(out.mutable_data_ptr());
  const int64_t grain = std::max<int64_t>(1, (1 << 15) / std::max<int64_t>(columns, 1));
  at::parallel_for(0, out.numel() / std::max<int64_t>(columns, 1), grain, [&](int64_t begin, int64_t end) {
    std::vector<float> scratch(dtype == torch::kFloat32 ? 0 : columns);
    for (int64_t i = begin; i < end; ++i) {
      const Byte* row = row_at(tensor, source(i));
      if (dtype == torch::kFloat32) {
        unpack(row, columns, reinterpret_cast<float*>(to) + i * columns);
      } else {
        unpack(row, columns, scratch.data());
        narrow_row(scratch.data(), columns, reinterpret_cast<c10::BFloat16*>(to) + i * columns);
      }
    }
  });
}

}  // namespace

void dequantize_blocks(BlockType type, const std::byte* blocks, int64_t elements, float* out) {
  kernels_of(type).unpack(reinterpret_cast<const Byte*>(blocks), elements, out);
}

torch::Tensor dequantize(const BlockTensor& tensor, torch::ScalarType dtype) {
  const auto stored = dtype == torch::kBFloat16 ? dtype : torch::kFloat32;
  torch::Tensor out = torch::empty(tensor.shape, torch::TensorOptions().dtype(stored));
  unpack_rows(out, tensor, [](int64_t row) { return row; });
  return out.to(dtype);
}

void dequantize_rows_(const torch::Tensor& out, const BlockTensor& tensor, int64_t begin, int64_t end) {
  TORCH_CHECK(0 <= begin && end <= tensor.rows() && out.size(0) == end - begin, "dequantize: rows ", begin, " to ", end,
              " of ", tensor.rows(), " into ", out.sizes());
  unpack_rows(out, tensor, [begin](int64_t row) { return begin + row; });
}

torch::Tensor gather_rows(const BlockTensor& tensor, const torch::Tensor& ids, torch::ScalarType dtype) {
  const auto stored = dtype == torch::kBFloat16 ? dtype : torch::kFloat32;
  torch::Tensor out = torch::empty({ids.numel(), tensor.columns()}, torch::TensorOptions().dtype(stored));
  const torch::Tensor rows = ids.contiguous();
  const int64_t* row = rows.const_data_ptr<int64_t>();
  for (int64_t i = 0; i < rows.numel(); ++i) {
    TORCH_CHECK(row[i] >= 0 && row[i] < tensor.rows(), "gather_rows: row ", row[i], " of ", tensor.rows());
  }
  unpack_rows(out, tensor, [row](int64_t i) { return row[i]; });
  return out.to(dtype);
}

void block_matvec_(const torch::Tensor& out, const torch::Tensor& x, const BlockTensor& tensor) {
  const int64_t columns = tensor.columns();
  const bool is_float = x.scalar_type() == torch::kFloat32;
  TORCH_CHECK(x.scalar_type() == out.scalar_type() && (is_float || x.scalar_type() == torch::kBFloat16) &&
                  x.size(1) == columns && x.stride(1) == 1 && out.stride(1) == 1 && out.size(0) == x.size(0) &&
                  out.size(1) == tensor.rows(),
              "block_matvec_: x ", x.sizes(), ", tensor ", at::IntArrayRef(tensor.shape), ", out ", out.sizes());
  const Kernels& kernels = kernels_of(tensor.type);
  const Multiply multiply = is_float ? kernels.float32 : kernels.bfloat16;
  const torch::Tensor wide = x.to(torch::kFloat32);  // once, not for every row of the tensor
  const Product product{.x = wide.const_data_ptr<float>(),
                        .out = out.mutable_data_ptr(),
                        .rows = x.size(0),
                        .x_stride = wide.stride(0),
                        .out_stride = out.stride(0)};
  constexpr int64_t kGrain = 32;
  at::parallel_for(0, tensor.rows(), kGrain, [&](int64_t begin, int64_t end) {
    std::vector<float> scratch(columns);
    for (int64_t row = begin; row < end; ++row) multiply(row_at(tensor, row), columns, scratch.data(), product, row);
  });
}

}  // namespace loraxs
