// Compiled with AVX2, FMA, F16C and AVX-VNNI: see ops/int8_tile.h.
#include "ops/int8_tile.h"

namespace loraxs::int8 {
namespace {

struct AvxVnniDot {
  static __m256i add(__m256i sums, __m256i u, __m256i s) { return _mm256_dpbusd_avx_epi32(sums, u, s); }
  static __m256i add_small(__m256i sums, __m256i u, __m256i s) { return add(sums, u, s); }
  static __m256i widen_small(__m256i sums) { return sums; }
};

}  // namespace

void multiply_avxvnni(Format format, const std::byte* panel, const Activations& x, float* sums, int64_t stride) {
  multiply<AvxVnniDot>(format, panel, x, sums, stride);
}

}  // namespace loraxs::int8
