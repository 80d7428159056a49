// ops/int8_tile.h: the product of ops/int8_product.h in registers of 256 bits. Included by sources that are compiled
// for one instruction set each: whatever is compiled here must have internal linkage, or another source might get it.
#pragma once
#include <immintrin.h>

#include "ops/int8_product.h"

namespace loraxs::int8 {
namespace {

/// Adds products of unsigned u and signed s, four neighbours each, to lanes of 32 bits.
struct Avx2Dot {
  static __m256i add(__m256i sums, __m256i u, __m256i s) {
    const __m256i pairs = _mm256_maddubs_epi16(u, s);  // at most 2 · 128 · 127: fits 16 bits
    return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
  // Of four bits: sixteen products of 15 · 127 fit 16 bits, so those of a block are added there first.
  static __m256i add_small(__m256i sums, __m256i u, __m256i s) {
    return _mm256_add_epi16(sums, _mm256_maddubs_epi16(u, s));
  }
  static __m256i widen_small(__m256i sums) { return _mm256_madd_epi16(sums, _mm256_set1_epi16(1)); }
};

template <Format FORMAT>
__m256 load_scales(const std::byte* scales) {
  if constexpr (half_scales(FORMAT)) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(scales)));
  } else {
    return _mm256_loadu_ps(reinterpret_cast<const float*>(scales));
  }
}

__m256i four_of(const int8_t* q) {
  int32_t four;
  __builtin_memcpy(&four, q, sizeof four);
  return _mm256_set1_epi32(four);
}

/// Σ over one block for ROWS rows of x and HALVES times eight rows of W. Loop order: four columns of the block, then
/// rows of x; eight of W are unpacked once for all rows, sums stay in registers.
template <typename Dot, Format FORMAT, int ROWS, int HALVES>
inline __attribute__((always_inline)) void block_sums(const std::byte* block, const int8_t* q, int64_t q_stride,
                                                      __m256i whole[ROWS][HALVES]) {
  constexpr int64_t kGroupBytes = kPanelRows * kGroup;
  const auto load = [&](int group, int half) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(block + group * kGroupBytes + half * 32));
  };
#pragma GCC unroll 8
  for (int r = 0; r < ROWS; ++r) {
#pragma GCC unroll 2
    for (int h = 0; h < HALVES; ++h) whole[r][h] = _mm256_setzero_si256();
  }
  if constexpr (four_bits(FORMAT)) {
    const __m256i mask = _mm256_set1_epi8(15);
#pragma GCC unroll 4
    for (int g = 0; g < 4; ++g) {
      __m256i low[HALVES], high[HALVES];
#pragma GCC unroll 2
      for (int h = 0; h < HALVES; ++h) {
        const __m256i both = load(g, h);
        low[h] = _mm256_and_si256(both, mask);
        high[h] = _mm256_and_si256(_mm256_srli_epi16(both, 4), mask);
      }
#pragma GCC unroll 8
      for (int r = 0; r < ROWS; ++r) {
        const __m256i first = four_of(q + r * q_stride + g * kGroup),
                      second = four_of(q + r * q_stride + 16 + g * kGroup);
#pragma GCC unroll 2
        for (int h = 0; h < HALVES; ++h) {
          whole[r][h] = Dot::add_small(Dot::add_small(whole[r][h], low[h], first), high[h], second);
        }
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; ++r) {
#pragma GCC unroll 2
      for (int h = 0; h < HALVES; ++h) whole[r][h] = Dot::widen_small(whole[r][h]);
    }
  } else {
#pragma GCC unroll 8
    for (int g = 0; g < 8; ++g) {
      __m256i signed_w[HALVES], magnitude[HALVES];  // the first factor must be unsigned: w x = |w| (sign(w) x)
#pragma GCC unroll 2
      for (int h = 0; h < HALVES; ++h) {
        signed_w[h] = load(g, h);
        magnitude[h] = _mm256_abs_epi8(signed_w[h]);
      }
#pragma GCC unroll 8
      for (int r = 0; r < ROWS; ++r) {
        const __m256i four = four_of(q + r * q_stride + g * kGroup);
#pragma GCC unroll 2
        for (int h = 0; h < HALVES; ++h) {
          whole[r][h] = Dot::add(whole[r][h], magnitude[h], _mm256_sign_epi8(four, signed_w[h]));
        }
      }
    }
  }
}

/// Rows [row, row + ROWS) of x; HALVES of the panel at a time, so that sums over blocks stay in registers too.
template <typename Dot, Format FORMAT, int ROWS, int HALVES>
void multiply_rows(const std::byte* panel, const Activations& x, int64_t row, float* sums, int64_t stride) {
  constexpr int64_t kScale = half_scales(FORMAT) ? 2 : 4;
  for (int first = 0; first < 2; first += HALVES) {
    __m256 total[ROWS][HALVES];
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; ++r) {
#pragma GCC unroll 2
      for (int h = 0; h < HALVES; ++h) total[r][h] = _mm256_setzero_ps();
    }
    for (int64_t b = 0; b < x.blocks; ++b) {
      const std::byte *block = panel + b * block_bytes(FORMAT), *scales = block + integer_bytes(FORMAT);
      __m256i whole[ROWS][HALVES];
      block_sums<Dot, FORMAT, ROWS, HALVES>(block + first * 32, x.q + (row * x.blocks + b) * kBlock, x.blocks * kBlock,
                                            whole);
#pragma GCC unroll 2
      for (int h = 0; h < HALVES; ++h) {
        const int64_t place = (first + h) * 8;
        const __m256 d = load_scales<FORMAT>(scales + place * kScale);
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; ++r) {
          const int64_t at = (row + r) * x.blocks + b;
          const __m256 factor = _mm256_mul_ps(d, _mm256_set1_ps(x.scale[at]));
          total[r][h] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(whole[r][h]), factor, total[r][h]);
        }
        if constexpr (four_bits(FORMAT)) {
          const __m256 m = load_scales<FORMAT>(scales + (kPanelRows + place) * kScale);
#pragma GCC unroll 8
          for (int r = 0; r < ROWS; ++r) {
            total[r][h] = _mm256_fmadd_ps(m, _mm256_set1_ps(x.sum[(row + r) * x.blocks + b]), total[r][h]);
          }
        }
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; ++r) {
#pragma GCC unroll 2
      for (int h = 0; h < HALVES; ++h) _mm256_storeu_ps(sums + (row + r) * stride + (first + h) * 8, total[r][h]);
    }
  }
}

template <typename Dot, Format FORMAT>
void multiply_panel(const std::byte* panel, const Activations& x, float* sums, int64_t stride) {
  constexpr int kRows = 4;
  int64_t row = 0;
  for (; row + kRows <= x.rows; row += kRows) multiply_rows<Dot, FORMAT, kRows, 1>(panel, x, row, sums, stride);
  for (; row < x.rows; ++row) multiply_rows<Dot, FORMAT, 1, 2>(panel, x, row, sums, stride);
}

template <typename Dot>
void multiply(Format format, const std::byte* panel, const Activations& x, float* sums, int64_t stride) {
  switch (format) {
    case Format::kFourHalf:
      return multiply_panel<Dot, Format::kFourHalf>(panel, x, sums, stride);
    case Format::kFourFloat:
      return multiply_panel<Dot, Format::kFourFloat>(panel, x, sums, stride);
    case Format::kEightHalf:
      return multiply_panel<Dot, Format::kEightHalf>(panel, x, sums, stride);
    case Format::kEightFloat:
      return multiply_panel<Dot, Format::kEightFloat>(panel, x, sums, stride);
  }
}

}  // namespace
}  // namespace loraxs::int8
