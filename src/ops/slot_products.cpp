#include "ops/slot_products.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include "ops/simd.h"
#include "ops/skinny_gemm.h"

namespace loraxs {
namespace {

constexpr int64_t kTransposeRows = 8;  // below, transposing R costs more than multiplying with it
using Eight = simd::Vector<8>::Value;

/// Columns 0 to 7 of eight rows that stand `stride` apart.
LORAXS_INLINE void transpose(const float* rows, int64_t stride, Eight columns[8]) {
  Eight pairs[8], quads[8];
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    const Eight x = simd::Vector<8>::load(rows + i * stride), y = simd::Vector<8>::load(rows + (i + 1) * stride);
    pairs[i] = __builtin_shufflevector(x, y, 0, 8, 1, 9, 4, 12, 5, 13);
    pairs[i + 1] = __builtin_shufflevector(x, y, 2, 10, 3, 11, 6, 14, 7, 15);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
#pragma GCC unroll 2
    for (int j = 0; j < 2; ++j) {
      quads[i + 2 * j] = __builtin_shufflevector(pairs[i + j], pairs[i + j + 2], 0, 1, 8, 9, 4, 5, 12, 13);
      quads[i + 2 * j + 1] = __builtin_shufflevector(pairs[i + j], pairs[i + j + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    columns[i] = __builtin_shufflevector(quads[i], quads[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    columns[i + 4] = __builtin_shufflevector(quads[i], quads[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
  }
}

/// z [begin, begin + CHAINS) = scale · R u, the sums side by side in one vector: a loop over scalars becomes products
/// and additions that round apart.
template <int CHAINS, typename T>
LORAXS_INLINE void multiply_chains(float* z, const T* u, const float* rows, int64_t rank, float scale) {
  using V = simd::Vector<CHAINS>;
  typename V::Value sums = {};
  int64_t k = 0;
  if constexpr (CHAINS == 8) {
    for (; k + 8 <= rank; k += 8, rows += 8) {
      Eight columns[8];
      transpose(rows, rank, columns);
#pragma GCC unroll 8
      for (int c = 0; c < 8; ++c) sums += scale * simd::widen(u + k + c) * columns[c];
    }
  }
  for (; k < rank; ++k, ++rows) {
    typename V::Value column;
#pragma GCC unroll 8
    for (int c = 0; c < CHAINS; ++c) column[c] = rows[c * rank];
    const float factor = scale * simd::widen(u + k);
    sums += factor * column;
  }
  V::store(z, sums);
}

/// z [rank] = scale · R u for one row; the chains and their widths are those of skinny_gemm_ on the transposed R, so
/// the bits are too.
template <typename T>
LORAXS_INLINE void multiply(float* z, const T* u, const float* r, int64_t rank, float scale) {
  int64_t i = 0;
  for (; i + 8 <= rank; i += 8) multiply_chains<8>(z + i, u, r + i * rank, rank, scale);
  for (; i + 4 <= rank; i += 4) multiply_chains<4>(z + i, u, r + i * rank, rank, scale);
  for (; i < rank; ++i) simd::gemm_column<1>(z + i, 1, u, 1, 1, r + i * rank, 1, rank, scale, /*accumulate=*/false);
}

LORAXS_KERNEL void multiply_row(float* z, const float* u, const float* r, int64_t rank, float scale) {
  multiply(z, u, r, rank, scale);
}
LORAXS_KERNEL void multiply_row(float* z, const c10::BFloat16* u, const float* r, int64_t rank, float scale) {
  multiply(z, u, r, rank, scale);
}

template <typename T>
void few_rows(const torch::Tensor& z, const torch::Tensor& u, const std::vector<const SlotMatrix*>& segments) {
  float* z_data = z.mutable_data_ptr<float>();
  const T* u_data = u.const_data_ptr<T>();
  const int64_t z_stride = z.stride(0), u_stride = u.stride(0);
  at::parallel_for(0, static_cast<int64_t>(segments.size()), /*grain_size=*/4, [&](int64_t begin, int64_t end) {
    for (int64_t s = begin; s < end; ++s) {
      const SlotMatrix& segment = *segments[s];
      const RowTensor& r = *segment.r;
      const float* matrix = r.values.const_data_ptr<float>() + r.adapter * r.values.stride(0) + r.offset;
      for (int64_t row = segment.begin; row < segment.end; ++row) {
        multiply_row(z_data + row * z_stride, u_data + row * u_stride, matrix, r.shape[0],
                     static_cast<float>(segment.scale));
      }
    }
  });
}

}  // namespace

torch::Tensor slot_products(const torch::Tensor& u, const std::vector<SlotMatrix>& segments) {
  torch::NoGradGuard no_grad;
  const auto dtype = u.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  torch::Tensor z = torch::zeros({u.size(0), u.size(1)}, u.options().dtype(dtype));
  std::vector<const SlotMatrix*> few;
  for (const SlotMatrix& segment : segments) {
    const int64_t count = segment.end - segment.begin, rank = segment.r->shape[0];
    if (count < kTransposeRows && dtype == torch::kFloat32 && u.device().is_cpu() && u.stride(1) == 1) {
      few.push_back(&segment);
    } else {
      skinny_gemm_(z.narrow(0, segment.begin, count).narrow(1, 0, rank),
                   u.narrow(0, segment.begin, count).narrow(1, 0, rank), segment.r->value().t().contiguous(),
                   segment.scale, /*accumulate=*/false);
    }
  }
  if (few.empty()) return z;
  if (u.scalar_type() == torch::kFloat32) {
    few_rows<float>(z, u, few);
  } else {
    few_rows<c10::BFloat16>(z, u, few);
  }
  return z;
}

}  // namespace loraxs
