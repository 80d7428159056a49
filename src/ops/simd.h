// ops/simd.h: plain loops that the compiler vectorises, compiled once per instruction set; ops/isa.h says which runs.
#pragma once
#include <c10/util/BFloat16.h>

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "ops/isa.h"

// The body of a kernel and all that it calls must be LORAXS_INLINE, or it stays baseline code; lambdas inside it too.
#define LORAXS_INLINE inline __attribute__((always_inline))
#if defined(__x86_64__) && defined(__GNUC__)
#define LORAXS_TARGET(arch) __attribute__((target("arch=" arch)))
#endif

namespace loraxs {
constexpr int64_t kGrainRows = 8;  // rows that a thread of an element-wise loop takes at least
}  // namespace loraxs

namespace loraxs::simd {

/// BODY compiled for every instruction set; the call goes to the one that isa() names.
template <auto BODY>
struct Clones;
template <typename Result, typename... Args, Result (*BODY)(Args...)>
struct Clones<BODY> {
  static Result plain(Args... args) { return BODY(args...); }
#ifdef LORAXS_TARGET
  LORAXS_TARGET("x86-64-v3") static Result avx2(Args... args) { return BODY(args...); }
  LORAXS_TARGET("x86-64-v4") static Result avx512(Args... args) { return BODY(args...); }
  static Result run(Args... args) {
    switch (isa()) {
      case Isa::kAvx512:
        return avx512(args...);
      case Isa::kAvx2:
        return avx2(args...);
      case Isa::kPlain:
        break;
    }
    return plain(args...);
  }
#else
  static Result run(Args... args) { return plain(args...); }
#endif
};
template <auto BODY>
constexpr auto kernel = &Clones<BODY>::run;

constexpr int64_t kWidth = 16;  // floats a tile is wide: two AVX2 registers or one of AVX-512
constexpr int64_t padded(int64_t size) { return (size + kWidth - 1) / kWidth * kWidth; }

/// float32 or bfloat16 from memory, as float32.
template <typename T>
LORAXS_INLINE float widen(const T* p) {
  if constexpr (std::is_same_v<T, float>) {
    return *p;
  } else {
    const uint32_t bits = static_cast<uint32_t>(p->x) << 16;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
  }
}

/// To float32 or, rounded to nearest even, to bfloat16.
template <typename T>
LORAXS_INLINE void narrow(T* p, float value) {
  if constexpr (std::is_same_v<T, float>) {
    *p = value;
  } else {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    p->x = static_cast<uint16_t>((bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16);
  }
}

/// e^x, relative error about 1e-7 (Cephes expf). Below -87 it is 1e-38, not 0.
LORAXS_INLINE float exponential(float x) {
  x = x < -87.0F ? -87.0F : (x > 88.0F ? 88.0F : x);
  const float shifted = x * 1.44269504088896341F + 12582912.0F;  // rounds to an integer in the low bits
  const float n = shifted - 12582912.0F;
  const float r = (x - n * 0.693359375F) + n * 2.12194440e-4F;
  float p = 1.9875691500e-4F;
  p = p * r + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  const float value = p * r * r + r + 1.0F;
  const int32_t bits = (static_cast<int32_t>(n) + 127) << 23;
  float power;
  std::memcpy(&power, &bits, sizeof power);
  return value * power;
}

/// Φ(x) and φ(x) of the standard normal; Φ by Abramowitz & Stegun 7.1.26, absolute error 1e-7.
LORAXS_INLINE void normal(float x, float& distribution, float& density) {
  const float z = (x < 0 ? -x : x) * 0.70710678118654752F;
  const float e = exponential(-z * z);
  const float t = 1.0F / (1.0F + 0.3275911F * z);
  float p = 1.061405429F;
  p = p * t - 1.453152027F;
  p = p * t + 1.421413741F;
  p = p * t - 0.284496736F;
  p = p * t + 0.254829592F;
  const float tail = 0.5F * p * t * e;  // 1 − Φ(|x|)
  distribution = x < 0 ? tail : 1.0F - tail;
  density = 0.39894228040143268F * e;
}

/// LANES floats in one register, with unaligned loads and stores of float32 or bfloat16. The compiler's own vector
/// types: plain arrays of accumulators end up in memory.
template <int LANES>
struct VectorTypes;
template <>
struct VectorTypes<8> {
  typedef float Value __attribute__((vector_size(32)));
  typedef float Unaligned __attribute__((vector_size(32), aligned(4), may_alias));
  typedef uint32_t Bits __attribute__((vector_size(32)));
  typedef uint16_t Halves __attribute__((vector_size(16), aligned(2), may_alias));
};
template <>
struct VectorTypes<4> {
  typedef float Value __attribute__((vector_size(16)));
  typedef float Unaligned __attribute__((vector_size(16), aligned(4), may_alias));
  typedef uint32_t Bits __attribute__((vector_size(16)));
  typedef uint16_t Halves __attribute__((vector_size(8), aligned(2), may_alias));
};

template <int LANES>
struct Vector : VectorTypes<LANES> {
  using typename VectorTypes<LANES>::Value;
  using typename VectorTypes<LANES>::Unaligned;
  using typename VectorTypes<LANES>::Bits;
  using typename VectorTypes<LANES>::Halves;

  template <typename T>
  static LORAXS_INLINE Value load(const T* p) {
    if constexpr (std::is_same_v<T, float>) {
      return *reinterpret_cast<const Unaligned*>(p);
    } else {
      const Bits bits = __builtin_convertvector(*reinterpret_cast<const Halves*>(p), Bits) << 16;
      return (Value)bits;  // same size: the bits, not a conversion
    }
  }
  template <typename T>
  static LORAXS_INLINE void store(T* p, Value value) {
    if constexpr (std::is_same_v<T, float>) {
      *reinterpret_cast<Unaligned*>(p) = value;
    } else {
      Bits bits = (Bits)value;
      bits = (bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16;
      *reinterpret_cast<Halves*>(p) = __builtin_convertvector(bits, Halves);
    }
  }
};

/// ROWS × (VECTORS · LANES) elements of c (+)= alpha · a · b; the accumulators stay in registers over the whole of k.
/// Every element is one chain of additions over k in order.
template <bool SCALES, int ROWS, int VECTORS, int LANES, typename A, typename B, typename C>
LORAXS_INLINE void gemm_tile(C* c, int64_t c_stride, const A* a, int64_t a_row, int64_t a_k, const B* b,
                             int64_t b_stride, int64_t k, float alpha, bool accumulate) {
  using V = Vector<LANES>;
  typename V::Value sums[ROWS][VECTORS];
#pragma GCC unroll 8
  for (int i = 0; i < ROWS; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < VECTORS; ++j) {
      sums[i][j] = accumulate ? V::load(c + i * c_stride + j * LANES) : typename V::Value{};
    }
  }
  for (int64_t p = 0; p < k; ++p) {
    typename V::Value row[VECTORS];
#pragma GCC unroll 8
    for (int j = 0; j < VECTORS; ++j) row[j] = V::load(b + p * b_stride + j * LANES);
#pragma GCC unroll 8
    for (int i = 0; i < ROWS; ++i) {
      const float value = widen(a + i * a_row + p * a_k), factor = SCALES ? alpha * value : value;
#pragma GCC unroll 8
      for (int j = 0; j < VECTORS; ++j) sums[i][j] += factor * row[j];
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < ROWS; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < VECTORS; ++j) V::store(c + i * c_stride + j * LANES, sums[i][j]);
  }
}

/// The same for one column. The multiply-add is spelled out: left to the compiler, some loops round twice and others
/// once, and a row's bits would depend on how many rows stand beside it.
template <int ROWS, typename A, typename B, typename C>
LORAXS_INLINE void gemm_column(C* c, int64_t c_stride, const A* a, int64_t a_row, int64_t a_k, const B* b,
                               int64_t b_stride, int64_t k, float alpha, bool accumulate) {
  for (int i = 0; i < ROWS; ++i) {
    float sum = accumulate ? widen(c + i * c_stride) : 0.0F;
    for (int64_t p = 0; p < k; ++p)
      sum = __builtin_fmaf(alpha * widen(a + i * a_row + p * a_k), widen(b + p * b_stride), sum);
    narrow(c + i * c_stride, sum);
  }
}

template <bool SCALES, int ROWS, typename A, typename B, typename C>
LORAXS_INLINE void gemm_row_block(C* c, int64_t c_stride, const A* a, int64_t a_row, int64_t a_k, const B* b,
                                  int64_t b_stride, int64_t n, int64_t k, float alpha, bool accumulate) {
  int64_t j = 0;
  for (; j + 16 <= n; j += 16)
    gemm_tile<SCALES, ROWS, 2, 8>(c + j, c_stride, a, a_row, a_k, b + j, b_stride, k, alpha, accumulate);
  for (; j + 8 <= n; j += 8)
    gemm_tile<SCALES, ROWS, 1, 8>(c + j, c_stride, a, a_row, a_k, b + j, b_stride, k, alpha, accumulate);
  for (; j + 4 <= n; j += 4)
    gemm_tile<SCALES, ROWS, 1, 4>(c + j, c_stride, a, a_row, a_k, b + j, b_stride, k, alpha, accumulate);
  for (; j < n; ++j) gemm_column<ROWS>(c + j, c_stride, a, a_row, a_k, b + j, b_stride, k, alpha, accumulate);
}

template <bool SCALES, typename A, typename B, typename C>
LORAXS_INLINE void gemm_row_blocks(C* c, int64_t c_stride, const A* a, int64_t a_row, int64_t a_k, const B* b,
                                   int64_t b_stride, int64_t begin, int64_t end, int64_t n, int64_t k, float alpha,
                                   bool accumulate) {
  constexpr int kRows = 6;  // 6 × 2 accumulators, two of b and one factor: 15 of AVX2's 16 registers
  int64_t i = begin;
  for (; i + kRows <= end; i += kRows) {
    gemm_row_block<SCALES, kRows>(c + i * c_stride, c_stride, a + i * a_row, a_row, a_k, b, b_stride, n, k, alpha,
                                  accumulate);
  }
  for (; i + 2 <= end; i += 2) {
    gemm_row_block<SCALES, 2>(c + i * c_stride, c_stride, a + i * a_row, a_row, a_k, b, b_stride, n, k, alpha,
                              accumulate);
  }
  for (; i < end; ++i) {
    gemm_row_block<SCALES, 1>(c + i * c_stride, c_stride, a + i * a_row, a_row, a_k, b, b_stride, n, k, alpha,
                              accumulate);
  }
}

/// Rows [begin, end) of c [·, n] (+)= alpha · a [·, k] · b [k, n]. a: any strides; b, c: unit column stride. The
/// product with an alpha of 1, which changes no bit, is left out.
template <typename A, typename B, typename C>
LORAXS_INLINE void gemm_rows(C* c, int64_t c_stride, const A* a, int64_t a_row, int64_t a_k, const B* b,
                             int64_t b_stride, int64_t begin, int64_t end, int64_t n, int64_t k, float alpha,
                             bool accumulate) {
  if (alpha == 1.0F) {
    gemm_row_blocks<false>(c, c_stride, a, a_row, a_k, b, b_stride, begin, end, n, k, alpha, accumulate);
  } else {
    gemm_row_blocks<true>(c, c_stride, a, a_row, a_k, b, b_stride, begin, end, n, k, alpha, accumulate);
  }
}

constexpr int kDropoutRounds = 7;   // of Philox, drawn four times a layer and step
constexpr int64_t kLaneGroup = 64;  // elements that eight counters side by side give

/// 16-bit dropout lanes of elements [0, elements) at (position, head): see ops/dropout.h. `lanes` holds
/// lanes_size(elements).
LORAXS_INLINE void dropout_lanes(uint64_t key, uint32_t position, uint32_t head, int64_t elements, uint16_t* lanes) {
  constexpr int64_t kCounters = 8;
  for (int64_t first = 0; first < elements; first += kLaneGroup) {
    uint32_t c[4][kCounters];
    for (int64_t i = 0; i < kCounters; ++i) {
      c[0][i] = static_cast<uint32_t>(first / 8 + i);
      c[1][i] = position;
      c[2][i] = head;
      c[3][i] = 0;
    }
    uint32_t key0 = static_cast<uint32_t>(key), key1 = static_cast<uint32_t>(key >> 32);
    for (int round = 0; round < kDropoutRounds; ++round) {
#pragma omp simd
      for (int64_t i = 0; i < kCounters; ++i) {
        const uint64_t product0 = 0xD2511F53ULL * c[0][i], product1 = 0xCD9E8D57ULL * c[2][i];
        c[0][i] = static_cast<uint32_t>(product1 >> 32) ^ c[1][i] ^ key0;
        c[2][i] = static_cast<uint32_t>(product0 >> 32) ^ c[3][i] ^ key1;
        c[1][i] = static_cast<uint32_t>(product1);
        c[3][i] = static_cast<uint32_t>(product0);
      }
      key0 += 0x9E3779B9U;
      key1 += 0xBB67AE85U;
    }
    std::memcpy(lanes + first, c, sizeof c);  // little-endian: the low half of a word comes first
  }
}

constexpr int64_t lanes_size(int64_t elements) { return (elements + kLaneGroup - 1) / kLaneGroup * kLaneGroup; }

}  // namespace loraxs::simd
