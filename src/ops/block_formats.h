// ops/block_formats.h: the numbers inside one block of every GGUF type, as ggml-quants.c lays them out.
#pragma once
#include <c10/util/Half.h>

#include <cstdint>
#include <cstring>

#include "ops/simd.h"

namespace loraxs::blocks {

using Byte = uint8_t;

LORAXS_INLINE float half_at(const Byte* at) {
  uint16_t bits;
  std::memcpy(&bits, at, sizeof bits);
  return c10::detail::fp16_ieee_to_fp32_value(bits);
}

// One function per type: `out` gets the numbers of one block. Products are exact in float32 (11 bits of a scale, 5 to
// 13 of the rest), so a fused multiply-add rounds as numpy's two operations do.

struct F32 {
  static constexpr int64_t kElements = 1, kBytes = 4;
  static LORAXS_INLINE void unpack(const Byte* block, float* out) { std::memcpy(out, block, sizeof *out); }
};

struct F16 {
  static constexpr int64_t kElements = 1, kBytes = 2;
  static LORAXS_INLINE void unpack(const Byte* block, float* out) { *out = half_at(block); }
};

struct BF16 {
  static constexpr int64_t kElements = 1, kBytes = 2;
  static LORAXS_INLINE void unpack(const Byte* block, float* out) {
    uint16_t bits;
    std::memcpy(&bits, block, sizeof bits);
    const uint32_t wide = static_cast<uint32_t>(bits) << 16;
    std::memcpy(out, &wide, sizeof *out);
  }
};

struct Q80 {  // d · q
  static constexpr int64_t kElements = 32, kBytes = 34;
  static LORAXS_INLINE void unpack(const Byte* block, float* out) {
    const float d = half_at(block);
    for (int j = 0; j < 32; ++j) out[j] = d * static_cast<float>(static_cast<int8_t>(block[2 + j]));
  }
};

struct Q40 {  // d · (q − 8); low halves first
  static constexpr int64_t kElements = 32, kBytes = 18;
  static LORAXS_INLINE void unpack(const Byte* block, float* out) {
    const float d = half_at(block);
    for (int j = 0; j < 16; ++j) out[j] = d * static_cast<float>((block[2 + j] & 15) - 8);
    for (int j = 0; j < 16; ++j) out[16 + j] = d * static_cast<float>((block[2 + j] >> 4) - 8);
  }
};

struct Q41 {  // d · q + m
  static constexpr int64_t kElements = 32, kBytes = 20;
  static LORAXS_INLINE void unpack(const Byte* block, float* out) {
    const float d = half_at(block), m = half_at(block + 2);
    for (int j = 0; j < 16; ++j) out[j] = d * static_cast<float>(block[4 + j] & 15) + m;
    for (int j = 0; j < 16; ++j) out[16 + j] = d * static_cast<float>(block[4 + j] >> 4) + m;
  }
};

/// The fifth bits of a block: bit j of a 32-bit word belongs to number j.
LORAXS_INLINE void unpack_five_bits(const Byte* high, const Byte* low, int32_t* q) {
  uint32_t bits;
  std::memcpy(&bits, high, sizeof bits);
  for (int j = 0; j < 16; ++j) q[j] = static_cast<int32_t>((low[j] & 15U) | ((bits >> j & 1U) << 4));
  for (int j = 0; j < 16; ++j) q[16 + j] = static_cast<int32_t>((low[j] >> 4) | ((bits >> (j + 16) & 1U) << 4));
}

struct Q50 {  // d · (q − 16)
  static constexpr int64_t kElements = 32, kBytes = 22;
  static LORAXS_INLINE void unpack(const Byte* block, float* out) {
    const float d = half_at(block);
    int32_t q[32];
    unpack_five_bits(block + 2, block + 6, q);
    for (int j = 0; j < 32; ++j) out[j] = d * static_cast<float>(q[j] - 16);
  }
};

struct Q51 {  // d · q + m
  static constexpr int64_t kElements = 32, kBytes = 24;
  static LORAXS_INLINE void unpack(const Byte* block, float* out) {
    const float d = half_at(block), m = half_at(block + 2);
    int32_t q[32];
    unpack_five_bits(block + 4, block + 8, q);
    for (int j = 0; j < 32; ++j) out[j] = d * static_cast<float>(q[j]) + m;
  }
};

/// Scale and minimum of the eight groups of a Q4K or Q5K block, six bits each in twelve bytes.
LORAXS_INLINE void unpack_group(const Byte* scales, int group, float& scale, float& minimum) {
  if (group < 4) {
    scale = static_cast<float>(scales[group] & 63);
    minimum = static_cast<float>(scales[group + 4] & 63);
  } else {
    scale = static_cast<float>((scales[group + 4] & 15) | (scales[group - 4] >> 6 << 4));
    minimum = static_cast<float>((scales[group + 4] >> 4) | (scales[group] >> 6 << 4));
  }
}

struct Q4K {  // d · scale · q − dmin · minimum, groups of 32
  static constexpr int64_t kElements = 256, kBytes = 144;
  static LORAXS_INLINE void unpack(const Byte* block, float* out) {
    const float d = half_at(block), dmin = half_at(block + 2);
    for (int pair = 0; pair < 4; ++pair) {
      const Byte* low = block + 16 + 32 * pair;
      for (int half = 0; half < 2; ++half) {
        float scale, minimum;
        unpack_group(block + 4, 2 * pair + half, scale, minimum);
        const float ds = d * scale, dm = dmin * minimum;
        float* group = out + 64 * pair + 32 * half;
        for (int j = 0; j < 32; ++j) group[j] = ds * static_cast<float>(low[j] >> (4 * half) & 15) - dm;
      }
    }
  }
};

struct Q5K {  // as Q4K; bit g of byte j of `high` is the fifth bit of number j of group g
  static constexpr int64_t kElements = 256, kBytes = 176;
  static LORAXS_INLINE void unpack(const Byte* block, float* out) {
    const float d = half_at(block), dmin = half_at(block + 2);
    const Byte* high = block + 16;
    for (int pair = 0; pair < 4; ++pair) {
      const Byte* low = block + 48 + 32 * pair;
      for (int half = 0; half < 2; ++half) {
        const int number = 2 * pair + half;
        float scale, minimum;
        unpack_group(block + 4, number, scale, minimum);
        const float ds = d * scale, dm = dmin * minimum;
        float* group = out + 32 * number;
        for (int j = 0; j < 32; ++j) {
          group[j] = ds * static_cast<float>((low[j] >> (4 * half) & 15) | (high[j] >> number & 1) << 4) - dm;
        }
      }
    }
  }
};

struct Q6K {  // d · scale · (q − 32), groups of 16; low four bits, high two bits, signed scales, d
  static constexpr int64_t kElements = 256, kBytes = 210;
  static LORAXS_INLINE void unpack(const Byte* block, float* out) {
    const float d = half_at(block + 208);
    for (int quarter = 0; quarter < 8; ++quarter) {  // 32 numbers each
      const Byte* low = block + 64 * (quarter / 4) + 32 * (quarter % 2);
      const Byte* high = block + 128 + 32 * (quarter / 4);
      const int low_shift = quarter % 4 / 2 * 4, high_shift = 2 * (quarter % 4);
      for (int half = 0; half < 2; ++half) {
        const float ds = d * static_cast<float>(static_cast<int8_t>(block[192 + 2 * quarter + half]));
        for (int j = 16 * half; j < 16 * half + 16; ++j) {
          const int q = (low[j] >> low_shift & 15) | (high[j] >> high_shift & 3) << 4;
          out[32 * quarter + j] = ds * static_cast<float>(q - 32);
        }
      }
    }
  }
};

}  // namespace loraxs::blocks
