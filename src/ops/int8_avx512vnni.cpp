// Compiled with AVX2, FMA, F16C, AVX-512 F and AVX-512 VNNI: a panel's sixteen rows of W are the lanes of one register.
#include <immintrin.h>

#include "ops/int8_product.h"

namespace loraxs::int8 {
namespace {

template <Format FORMAT>
__m512 load_scales(const std::byte* scales) {
  if constexpr (half_scales(FORMAT)) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(scales)));
  } else {
    return _mm512_loadu_ps(reinterpret_cast<const float*>(scales));
  }
}

__m512i four_of(const int8_t* q) {
  int32_t four;
  __builtin_memcpy(&four, q, sizeof four);
  return _mm512_set1_epi32(four);
}

/// Rows [row, row + ROWS) of x. Loop order: blocks, four columns of the block, rows of x; W is unpacked once for all
/// rows, sums within a block and over blocks stay in registers.
template <Format FORMAT, int ROWS>
void multiply_rows(const std::byte* panel, const Activations& x, int64_t row, float* sums, int64_t stride) {
  constexpr int64_t kScale = half_scales(FORMAT) ? 2 : 4, kGroupBytes = kPanelRows * kGroup;
  const int64_t q_stride = x.blocks * kBlock;
  __m512 total[ROWS];
#pragma GCC unroll 8
  for (int r = 0; r < ROWS; ++r) total[r] = _mm512_setzero_ps();
  for (int64_t b = 0; b < x.blocks; ++b) {
    const std::byte *block = panel + b * block_bytes(FORMAT), *scales = block + integer_bytes(FORMAT);
    const int8_t* q = x.q + row * q_stride + b * kBlock;
    const int64_t first = row * x.blocks + b;  // the place of row r's scale is first + r * blocks
    const auto load = [&](int group) { return _mm512_loadu_si512(block + group * kGroupBytes); };
    __m512i whole[ROWS];
    if constexpr (four_bits(FORMAT)) {
#pragma GCC unroll 8
      for (int r = 0; r < ROWS; ++r) whole[r] = _mm512_setzero_si512();
      const __m512i mask = _mm512_set1_epi8(15);
#pragma GCC unroll 4
      for (int g = 0; g < 4; ++g) {
        const __m512i both = load(g), low = _mm512_and_si512(both, mask),
                      high = _mm512_and_si512(_mm512_srli_epi16(both, 4), mask);
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; ++r) {
          whole[r] = _mm512_dpbusd_epi32(whole[r], low, four_of(q + r * q_stride + g * kGroup));
          whole[r] = _mm512_dpbusd_epi32(whole[r], high, four_of(q + r * q_stride + 16 + g * kGroup));
        }
      }
    } else {  // the first factor must be unsigned: Σ w x = Σ (w + 128) x - 128 Σ x
#pragma GCC unroll 8
      for (int r = 0; r < ROWS; ++r) whole[r] = _mm512_set1_epi32(-128 * x.total[first + r * x.blocks]);
      const __m512i sign = _mm512_set1_epi8(-128);
#pragma GCC unroll 8
      for (int g = 0; g < 8; ++g) {
        const __m512i unsigned_w = _mm512_xor_si512(load(g), sign);
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; ++r)
          whole[r] = _mm512_dpbusd_epi32(whole[r], unsigned_w, four_of(q + r * q_stride + g * kGroup));
      }
    }
    const __m512 d = load_scales<FORMAT>(scales);
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; ++r) {
      const __m512 factor = _mm512_mul_ps(d, _mm512_set1_ps(x.scale[first + r * x.blocks]));
      total[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(whole[r]), factor, total[r]);
    }
    if constexpr (four_bits(FORMAT)) {
      const __m512 m = load_scales<FORMAT>(scales + kPanelRows * kScale);
#pragma GCC unroll 8
      for (int r = 0; r < ROWS; ++r)
        total[r] = _mm512_fmadd_ps(m, _mm512_set1_ps(x.sum[first + r * x.blocks]), total[r]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < ROWS; ++r) _mm512_storeu_ps(sums + (row + r) * stride, total[r]);
}

template <Format FORMAT>
void multiply_panel(const std::byte* panel, const Activations& x, float* sums, int64_t stride) {
  int64_t row = 0;
  for (; row + 8 <= x.rows; row += 8) multiply_rows<FORMAT, 8>(panel, x, row, sums, stride);
  for (; row + 4 <= x.rows; row += 4) multiply_rows<FORMAT, 4>(panel, x, row, sums, stride);
  for (; row < x.rows; ++row) multiply_rows<FORMAT, 1>(panel, x, row, sums, stride);
}

}  // namespace

void multiply_avx512vnni(Format format, const std::byte* panel, const Activations& x, float* sums, int64_t stride) {
  switch (format) {
    case Format::kFourHalf:
      return multiply_panel<Format::kFourHalf>(panel, x, sums, stride);
    case Format::kFourFloat:
      return multiply_panel<Format::kFourFloat>(panel, x, sums, stride);
    case Format::kEightHalf:
      return multiply_panel<Format::kEightHalf>(panel, x, sums, stride);
    case Format::kEightFloat:
      return multiply_panel<Format::kEightFloat>(panel, x, sums, stride);
  }
}

}  // namespace loraxs::int8
