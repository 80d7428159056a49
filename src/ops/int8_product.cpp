#include "ops/int8_product.h"

#include <c10/util/Half.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "ops/isa.h"

namespace loraxs::int8 {
namespace {

float scale_at(Format format, const std::byte* scales, int64_t i) {
  if (half_scales(format)) {
    c10::Half value;
    std::memcpy(&value, scales + i * 2, sizeof value);
    return static_cast<float>(value);
  }
  float value = 0;
  std::memcpy(&value, scales + i * 4, sizeof value);
  return value;
}

/// Number `column` of row `row` of a panel's block.
int32_t integer_at(Format format, const std::byte* block, int64_t row, int64_t column) {
  const int64_t group = column / kGroup, place = row * kGroup + column % kGroup;
  constexpr int64_t kGroupBytes = kPanelRows * kGroup;
  if (!four_bits(format)) return static_cast<int8_t>(block[group * kGroupBytes + place]);
  const auto both = static_cast<int32_t>(block[group % 4 * kGroupBytes + place]);
  return group < 4 ? both & 15 : both >> 4;
}

}  // namespace

void multiply_plain(Format format, const std::byte* panel, const Activations& x, float* sums, int64_t stride) {
  for (int64_t r = 0; r < x.rows; ++r) {
    for (int64_t row = 0; row < kPanelRows; ++row) {
      float sum = 0;
      for (int64_t b = 0; b < x.blocks; ++b) {
        const std::byte *block = panel + b * block_bytes(format), *scales = block + integer_bytes(format);
        const int8_t* q = x.q + (r * x.blocks + b) * kBlock;
        int32_t whole = 0;
        for (int64_t c = 0; c < kBlock; ++c) whole += integer_at(format, block, row, c) * q[c];
        const float factor = scale_at(format, scales, row) * x.scale[r * x.blocks + b];
        sum = std::fma(static_cast<float>(whole), factor, sum);
        if (four_bits(format)) sum = std::fma(scale_at(format, scales, kPanelRows + row), x.sum[r * x.blocks + b], sum);
      }
      sums[r * stride + row] = sum;
    }
  }
}

void quantize_plain(const float* x, int64_t blocks, int8_t* q, float* scale, int32_t* total, float* sum) {
  for (int64_t b = 0; b < blocks; ++b, x += kBlock, q += kBlock) {
    float largest = 0;
    bool finite = true;
    for (int64_t c = 0; c < kBlock; ++c) {
      finite = finite && std::isfinite(x[c]);
      largest = std::max(largest, std::fabs(x[c]));
    }
    if (!finite || largest < kLeast) {
      std::memset(q, 0, kBlock);
      total[b] = 0;
      scale[b] = sum[b] = finite ? 0.0F : std::numeric_limits<float>::quiet_NaN();
      continue;
    }
    const float inverse = 127.0F / largest;
    total[b] = 0;
    for (int64_t c = 0; c < kBlock; ++c) {
      q[c] = static_cast<int8_t>(std::nearbyint(x[c] * inverse));
      total[b] += q[c];
    }
    scale[b] = largest / 127.0F;
    sum[b] = scale[b] * static_cast<float>(total[b]);
  }
}

std::vector<Kernel> kernels() {
  std::vector<Kernel> all = {{.name = "plain", .multiply = multiply_plain, .quantize = quantize_plain}};
#if defined(__x86_64__) && defined(__GNUC__)
  if (isa() >= Isa::kAvx2 && __builtin_cpu_supports("f16c") != 0) {
    all.push_back({.name = "avx2", .multiply = multiply_avx2, .quantize = quantize_avx2});
    if (__builtin_cpu_supports("avxvnni") != 0)
      all.push_back({.name = "avxvnni", .multiply = multiply_avxvnni, .quantize = quantize_avx2});
    if (isa() == Isa::kAvx512 && __builtin_cpu_supports("avx512vnni") != 0)
      all.push_back({.name = "avx512vnni", .multiply = multiply_avx512vnni, .quantize = quantize_avx2});
  }
#endif
  return all;
}

const Kernel& kernel() {
  static const Kernel fastest = kernels().back();
  return fastest;
}

}  // namespace loraxs::int8
