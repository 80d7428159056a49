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

/// ROWS rows of x times WEIGHTS rows of W, both `columns` long: Σ x w in 32 chains, four vectors of eight, and one for
/// what is left. CHAINS of the four vectors are summed at a time, as many as registers hold: 4 × 3 of one beside three
/// of W and one of x are AVX2's 16, and a panel of W and x stays in the first-level cache for all four. The order of
/// additions is the same in every form, so a row of x gives the same bits whoever stands beside it. One row is bound by
/// its loads.
template <int ROWS, int WEIGHTS, int CHAINS>
LORAXS_INLINE void dot_tile(float sums[ROWS][WEIGHTS], const float* x, int64_t x_stride, const float* w,
                            int64_t columns) {
  constexpr int64_t kStep = 32, kPanel = 768;
  const int64_t whole = columns / kStep * kStep, panels = CHAINS == 4 ? 1 : (whole + kPanel - 1) / kPanel;
  const int64_t panel = panels < 2 ? whole : (whole / kStep + panels - 1) / panels * kStep;  // all of about one size
  Floats chains[4][ROWS][WEIGHTS];
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) {
#pragma GCC unroll 4
    for (int i = 0; i < ROWS; ++i) {
#pragma GCC unroll 4
      for (int j = 0; j < WEIGHTS; ++j)
        chains[c][i][j] = Floats{};  // by vectors: `= {}` becomes rep stos, 6 % of a step
    }
  }
  for (int64_t begin = 0; begin < whole; begin += panel) {
    const int64_t end = begin + panel < whole ? begin + panel : whole;
#pragma GCC unroll 1
    for (int first = 0; first < 4; first += CHAINS) {
      Floats part[CHAINS][ROWS][WEIGHTS];
#pragma GCC unroll 4
      for (int c = 0; c < CHAINS; ++c) {
#pragma GCC unroll 4
        for (int i = 0; i < ROWS; ++i) {
#pragma GCC unroll 4
          for (int j = 0; j < WEIGHTS; ++j) part[c][i][j] = chains[first + c][i][j];
        }
      }
      for (int64_t k = begin + 8 * first; k < end; k += kStep) {
#pragma GCC unroll 4
        for (int c = 0; c < CHAINS; ++c) {
          const int64_t at = k + 8 * c;
          Floats weights[WEIGHTS];
#pragma GCC unroll 4
          for (int j = 0; j < WEIGHTS; ++j) weights[j] = Lanes::load(w + j * columns + at);
#pragma GCC unroll 4
          for (int i = 0; i < ROWS; ++i) {
            const Floats row = Lanes::load(x + i * x_stride + at);
#pragma GCC unroll 4
            for (int j = 0; j < WEIGHTS; ++j) part[c][i][j] += row * weights[j];
          }
        }
      }
#pragma GCC unroll 4
      for (int c = 0; c < CHAINS; ++c) {
#pragma GCC unroll 4
        for (int i = 0; i < ROWS; ++i) {
#pragma GCC unroll 4
          for (int j = 0; j < WEIGHTS; ++j) chains[first + c][i][j] = part[c][i][j];
        }
      }
    }
  }
  for (int i = 0; i < ROWS; ++i) {
    for (int j = 0; j < WEIGHTS; ++j) {
      const Floats all = (chains[0][i][j] + chains[1][i][j]) + (chains[2][i][j] + chains[3][i][j]);
      float sum = ((all[0] + all[4]) + (all[2] + all[6])) + ((all[1] + all[5]) + (all[3] + all[7]));
      // Spelled out: a loop that the compiler vectorises rounds twice, another once.
      for (int64_t k = whole; k < columns; ++k) sum = __builtin_fmaf(x[i * x_stride + k], w[j * columns + k], sum);
      sums[i][j] = sum;
    }
  }
}

struct Product {
  const float* x;  // [rows, columns], rows x_stride apart
  void* out;       // [rows, rows of W], rows out_stride apart
  int64_t rows, columns, x_stride, out_stride;
};

template <int ROWS, int WEIGHTS, int CHAINS, typename T>
LORAXS_INLINE void multiply_tile(const Product& p, int64_t row, const float* w, int64_t column) {
  float sums[ROWS][WEIGHTS];
  dot_tile<ROWS, WEIGHTS, CHAINS>(sums, p.x + row * p.x_stride, p.x_stride, w, p.columns);
  for (int i = 0; i < ROWS; ++i) {
    T* out = static_cast<T*>(p.out) + (row + i) * p.out_stride + column;
    for (int j = 0; j < WEIGHTS; ++j) simd::narrow(out + j, sums[i][j]);
  }
}

constexpr int kTileRows = 4, kTileWeights = 3;
constexpr int64_t kWeights = 6;  // rows of W that are unpacked at a time

/// ROWS rows of the product.
template <int ROWS, int CHAINS, typename T>
LORAXS_INLINE void multiply_strip(const Product& p, int64_t row, const float* w, int64_t weights, int64_t column) {
  for (int64_t j = 0; j < weights; j += kTileWeights) {
    multiply_tile<ROWS, kTileWeights, CHAINS, T>(p, row, w + j * p.columns, column + j);
  }
}

/// Columns [column, column + weights) of the product; w [weights, columns], weights 1 or some of kTileWeights.
template <typename T>
LORAXS_INLINE void multiply_rows(const float* w, int64_t weights, const Product& p, int64_t column) {
  if (weights == 1) {
    for (int64_t row = 0; row < p.rows; ++row) multiply_tile<1, 1, 4, T>(p, row, w, column);
    return;
  }
  int64_t row = 0;
  for (; row + kTileRows <= p.rows; row += kTileRows) multiply_strip<kTileRows, 1, T>(p, row, w, weights, column);
  switch (p.rows - row) {
    case 3:
      return multiply_strip<3, 1, T>(p, row, w, weights, column);
    case 2:
      return multiply_strip<2, 2, T>(p, row, w, weights, column);
    case 1:
      return multiply_strip<1, 4, T>(p, row, w, weights, column);
    default:
      return;
  }
}

using Unpack = void (*)(const Byte* blocks, int64_t elements, float* out);
struct UnpackOf {
  BlockType type;
  Unpack unpack;
};
constexpr std::array kUnpack = {UnpackOf{BlockType::kF32, simd::kernel<unpack_row<F32>>},
                                UnpackOf{BlockType::kF16, simd::kernel<unpack_row<F16>>},
                                UnpackOf{BlockType::kBF16, simd::kernel<unpack_row<BF16>>},
                                UnpackOf{BlockType::kQ8_0, simd::kernel<unpack_row<Q80>>},
                                UnpackOf{BlockType::kQ4_0, simd::kernel<unpack_row<Q40>>},
                                UnpackOf{BlockType::kQ4_1, simd::kernel<unpack_row<Q41>>},
                                UnpackOf{BlockType::kQ5_0, simd::kernel<unpack_row<Q50>>},
                                UnpackOf{BlockType::kQ5_1, simd::kernel<unpack_row<Q51>>},
                                UnpackOf{BlockType::kQ2_K, simd::kernel<unpack_row<Q2K>>},
                                UnpackOf{BlockType::kQ3_K, simd::kernel<unpack_row<Q3K>>},
                                UnpackOf{BlockType::kQ4_K, simd::kernel<unpack_row<Q4K>>},
                                UnpackOf{BlockType::kQ5_K, simd::kernel<unpack_row<Q5K>>},
                                UnpackOf{BlockType::kQ6_K, simd::kernel<unpack_row<Q6K>>},
                                UnpackOf{BlockType::kIQ4_NL, simd::kernel<unpack_row<IQ4NL>>},
                                UnpackOf{BlockType::kIQ4_XS, simd::kernel<unpack_row<IQ4XS>>}};

Unpack unpack_of(BlockType type) {
  for (const UnpackOf& each : kUnpack) {
    if (each.type == type) return each.unpack;
  }
  TORCH_CHECK(false, "dequantize: type ", block_type_info(type).name, " is not one of ", readable_block_types());
}

LORAXS_INLINE void narrow_row(const float* from, int64_t count, c10::BFloat16* to) {
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
  const Unpack unpack = unpack_of(tensor.type);
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
        simd::kernel<narrow_row>(scratch.data(), columns, reinterpret_cast<c10::BFloat16*>(to) + i * columns);
      }
    }
  });
}

}  // namespace

void dequantize_blocks(BlockType type, const std::byte* blocks, int64_t elements, float* out) {
  unpack_of(type)(reinterpret_cast<const Byte*>(blocks), elements, out);
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
  TORCH_CHECK(ids.device().is_cpu(), "gather_rows: blocks lie on the CPU, ids on ", ids.device());
  const torch::Tensor rows = ids.contiguous();
  const int64_t* row = rows.const_data_ptr<int64_t>();
  for (int64_t i = 0; i < rows.numel(); ++i) {
    TORCH_CHECK(row[i] >= 0 && row[i] < tensor.rows(), "gather_rows: row ", row[i], " of ", tensor.rows());
  }
  unpack_rows(out, tensor, [row](int64_t i) { return row[i]; });
  return out.to(dtype);
}

BlockTensor block_view(const torch::Tensor& values) {
  TORCH_CHECK(values.is_contiguous() && values.dim() == 2 &&
                  (values.scalar_type() == torch::kFloat32 || values.scalar_type() == torch::kBFloat16),
              "block_view: ", values.sizes(), " ", values.scalar_type());
  const auto owner = std::make_shared<const torch::Tensor>(values);
  return {.type = values.scalar_type() == torch::kFloat32 ? BlockType::kF32 : BlockType::kBF16,
          .shape = values.sizes().vec(),
          .bytes = {static_cast<const std::byte*>(owner->const_data_ptr()), owner->nbytes()},
          .owner = owner};
}

void block_product_(const torch::Tensor& out, const torch::Tensor& x, const BlockTensor& tensor) {
  const int64_t columns = tensor.columns();
  const bool is_float = x.scalar_type() == torch::kFloat32;
  TORCH_CHECK(x.scalar_type() == out.scalar_type() && (is_float || x.scalar_type() == torch::kBFloat16) &&
                  x.size(1) == columns && x.stride(1) == 1 && out.stride(1) == 1 && out.size(0) == x.size(0) &&
                  out.size(1) == tensor.rows(),
              "block_product_: x ", x.sizes(), ", tensor ", at::IntArrayRef(tensor.shape), ", out ", out.sizes());
  const Unpack unpack = unpack_of(tensor.type);
  const auto multiply = is_float ? simd::kernel<multiply_rows<float>> : simd::kernel<multiply_rows<c10::BFloat16>>;
  const torch::Tensor wide = x.to(torch::kFloat32);  // once, not for every row of the tensor
  const Product product{.x = wide.const_data_ptr<float>(),
                        .out = out.mutable_data_ptr(),
                        .rows = x.size(0),
                        .columns = columns,
                        .x_stride = wide.stride(0),
                        .out_stride = out.stride(0)};
  const bool as_stored = tensor.type == BlockType::kF32 && tensor.interleaved_heads == 0;  // nothing to unpack
  constexpr int64_t kGrainWork = 1 << 15;  // multiply-adds below which a second thread does not pay
  const int64_t step = x.size(0) < kTileWeights ? 1 : kWeights, rows = tensor.rows();
  const int64_t tiles = (rows + kTileWeights - 1) / kTileWeights;  // threads share whole ones
  const int64_t tile_work = std::max<int64_t>(1, kTileWeights * columns * x.size(0));
  at::parallel_for(0, tiles, (kGrainWork + tile_work - 1) / tile_work, [&](int64_t begin, int64_t end) {
    std::vector<float> scratch(as_stored ? 0 : step * columns);
    const int64_t last = std::min(rows, end * kTileWeights);
    for (int64_t row = begin * kTileWeights; row < last;) {
      const int64_t left = std::min(step, last - row),
                    count = left < kTileWeights ? 1 : left / kTileWeights * kTileWeights;
      for (int64_t j = 0; j < (as_stored ? 0 : count); ++j)
        unpack(row_at(tensor, row + j), columns, scratch.data() + j * columns);
      multiply(as_stored ? reinterpret_cast<const float*>(row_at(tensor, row)) : scratch.data(), count, product, row);
      row += count;
    }
  });
}

}  // namespace loraxs
