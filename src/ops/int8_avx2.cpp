// Compiled with AVX2, FMA and F16C: see ops/int8_tile.h.
#include "ops/int8_tile.h"

namespace loraxs::int8 {

void multiply_avx2(Format format, const std::byte* panel, const Activations& x, float* sums, int64_t stride) {
  multiply<Avx2Dot>(format, panel, x, sums, stride);
}

void quantize_avx2(const float* x, int64_t blocks, int8_t* q, float* scale, int32_t* total, float* sum) {
  const __m256i no_sign = _mm256_set1_epi32(0x7FFFFFFF);
  for (int64_t b = 0; b < blocks; ++b, x += kBlock, q += kBlock) {
    __m256 value[4];
    __m256i most = _mm256_setzero_si256();  // as integers, magnitudes of floats are in order and NaN is the largest
    for (int i = 0; i < 4; ++i) {
      value[i] = _mm256_loadu_ps(x + 8 * i);
      most = _mm256_max_epi32(most, _mm256_and_si256(_mm256_castps_si256(value[i]), no_sign));
    }
    __m128i four = _mm_max_epi32(_mm256_castsi256_si128(most), _mm256_extracti128_si256(most, 1));
    four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0x4E));
    four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0xB1));
    const float largest = _mm_cvtss_f32(_mm_castsi128_ps(four));
    const bool finite = _mm_cvtsi128_si32(four) < 0x7F800000;
    if (!finite || largest < kLeast) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(q), _mm256_setzero_si256());
      total[b] = 0;
      scale[b] = sum[b] = finite ? 0.0F : __builtin_nanf("");
      continue;
    }
    const __m256 inverse = _mm256_set1_ps(127.0F / largest);
    __m256i whole[4];
    for (int i = 0; i < 4; ++i) whole[i] = _mm256_cvtps_epi32(_mm256_mul_ps(value[i], inverse));
    const __m256i all = _mm256_add_epi32(_mm256_add_epi32(whole[0], whole[1]), _mm256_add_epi32(whole[2], whole[3]));
    __m128i sums = _mm_add_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
    sums = _mm_add_epi32(sums, _mm_shuffle_epi32(sums, 0x4E));
    sums = _mm_add_epi32(sums, _mm_shuffle_epi32(sums, 0xB1));
    const __m256i packed = _mm256_packs_epi16(_mm256_packs_epi32(whole[0], whole[1]),
                                              _mm256_packs_epi32(whole[2], whole[3]));  // fours in an order of halves
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(q),
                        _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)));
    scale[b] = largest / 127.0F;
    total[b] = _mm_cvtsi128_si32(sums);
    sum[b] = scale[b] * static_cast<float>(total[b]);
  }
}

}  // namespace loraxs::int8
