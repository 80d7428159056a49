// ops/block_formats.h: the numbers inside one block of every GGUF type, as ggml-quants.c lays them out.
#pragma once
#include <cstdint>
#include <cstring>

#include "ops/simd.h"

namespace loraxs::blocks {

using Byte = uint8_t;

using Lanes = simd::Vector<8>;
using Floats = Lanes::Value;
typedef Byte Bytes8 __attribute__((vector_size(8)));
typedef int32_t Ints __attribute__((vector_size(32)));

LORAXS_INLINE float half_at(const Byte* at) {
  _Float16 value;
  std::memcpy(&value, at, sizeof value);
  return static_cast<float>(value);
}

LORAXS_INLINE Bytes8 bytes_at(const Byte* at) {
  Bytes8 bytes;
  std::memcpy(&bytes, at, sizeof bytes);
  return bytes;
}

/// GCC widens bytes in one instruction if they come out of another on vectors, else one by one.
LORAXS_INLINE Ints ints(Bytes8 bytes) { return __builtin_convertvector(bytes, Ints); }
LORAXS_INLINE Floats floats(Ints numbers) { return __builtin_convertvector(numbers, Floats); }

/// Of eight bytes those bits that `mask` has after a shift to the right.
LORAXS_INLINE Ints bits_at(const Byte* at, int mask, int shift) {
  return ints(bytes_at(at) & static_cast<Byte>(mask << shift)) >> shift;
}

/// The low (half 0) or high four bits of eight bytes. Shifted when they are wide: CPUs shift no bytes, and GCC takes
/// them one by one.
LORAXS_INLINE Ints nibbles_at(const Byte* at, int half) { return bits_at(at, 15, 4 * half); }

// One function per type: `out` gets the numbers of one block, eight at a time: left to the compiler, loops over bytes
// come out four wide. Products are exact in float32 (11 bits of a scale, 5 to 13 of the rest), so a fused multiply-add
// rounds as numpy's two operations do. The plain types have blocks of one number and `eight` for as many at once.

struct F32 {
  static constexpr int64_t kElements = 1, kBytes = 4;
  static LORAXS_INLINE void unpack(const Byte* block, float* out) { std::memcpy(out, block, sizeof *out); }
  static LORAXS_INLINE Floats eight(const Byte* block) { return Lanes::load(reinterpret_cast<const float*>(block)); }
};

struct F16 {
  static constexpr int64_t kElements = 1, kBytes = 2;
  static LORAXS_INLINE void unpack(const Byte* block, float* out) { *out = half_at(block); }
  static LORAXS_INLINE Floats eight(const Byte* block) {
    const Lanes::Bits bits = __builtin_convertvector(*reinterpret_cast<const Lanes::Halves*>(block), Lanes::Bits);
    const Lanes::Bits magnitude = (bits & 0x7FFF) << 13, special = (Lanes::Bits)((bits & 0x7C00) == 0x7C00);
    const Floats finite = (Floats)magnitude * 0x1p112F;  // the exponent's bias: 127 - 15; exact for subnormals too
    const Lanes::Bits value = ((Lanes::Bits)finite & ~special) | ((magnitude | 0x7F800000) & special);
    return (Floats)(value | (bits & 0x8000) << 16);
  }
};

struct BF16 {
  static constexpr int64_t kElements = 1, kBytes = 2;
  static LORAXS_INLINE void unpack(const Byte* block, float* out) {
    *out = simd::widen(reinterpret_cast<const c10::BFloat16*>(block));
  }
  static LORAXS_INLINE Floats eight(const Byte* block) {
    return Lanes::load(reinterpret_cast<const c10::BFloat16*>(block));
  }
};

struct Q80 {  // d · q
  static constexpr int64_t kElements = 32, kBytes = 34;
  static LORAXS_INLINE void unpack(const Byte* block, float* out) {
    const float d = half_at(block);
    for (int j = 0; j < 32; j += 8) {
      const Ints q = ints(bytes_at(block + 2 + j) ^ 128) - 128;  // the bytes are signed
      Lanes::store(out + j, floats(q) * d);
    }
  }
};

struct Q40 {  // d · (q − 8); low halves first
  static constexpr int64_t kElements = 32, kBytes = 18;
  static LORAXS_INLINE void unpack(const Byte* block, float* out) {
    const float d = half_at(block);
    for (int j = 0; j < 32; j += 8) {
      Lanes::store(out + j, floats(nibbles_at(block + 2 + j % 16, j / 16) - 8) * d);
    }
  }
};

struct Q41 {  // d · q + m
  static constexpr int64_t kElements = 32, kBytes = 20;
  static LORAXS_INLINE void unpack(const Byte* block, float* out) {
    const float d = half_at(block), m = half_at(block + 2);
    for (int j = 0; j < 32; j += 8) {
      Lanes::store(out + j, floats(nibbles_at(block + 4 + j % 16, j / 16)) * d + m);
    }
  }
};

/// Numbers j to j + 7 of a block of five-bit ones: bit j of the 32-bit word at `high` belongs to number j.
LORAXS_INLINE Ints five_bits(const Byte* high, const Byte* low, int j) {
  const Ints shifts = {0, 1, 2, 3, 4, 5, 6, 7};
  const Ints fifth = (Ints{} + high[j / 8]) >> shifts & 1;
  return nibbles_at(low + j % 16, j / 16) | fifth << 4;
}

struct Q50 {  // d · (q − 16)
  static constexpr int64_t kElements = 32, kBytes = 22;
  static LORAXS_INLINE void unpack(const Byte* block, float* out) {
    const float d = half_at(block);
    for (int j = 0; j < 32; j += 8) Lanes::store(out + j, floats(five_bits(block + 2, block + 6, j) - 16) * d);
  }
};

struct Q51 {  // d · q + m
  static constexpr int64_t kElements = 32, kBytes = 24;
  static LORAXS_INLINE void unpack(const Byte* block, float* out) {
    const float d = half_at(block), m = half_at(block + 2);
    for (int j = 0; j < 32; j += 8) Lanes::store(out + j, floats(five_bits(block + 4, block + 8, j)) * d + m);
  }
};

struct Q2K {  // d · scale · q − dmin · minimum, groups of 16; scales (low half) and minima, numbers, d, dmin
  static constexpr int64_t kElements = 256, kBytes = 84;
  static LORAXS_INLINE void unpack(const Byte* block, float* out) {
    const float d = half_at(block + 80), dmin = half_at(block + 82);
    for (int group = 0; group < 16; ++group) {
      const Byte* low = block + 16 + 32 * (group / 8) + 16 * (group % 2);
      const float ds = d * static_cast<float>(block[group] & 15), dm = dmin * static_cast<float>(block[group] >> 4);
      for (int j = 0; j < 16; j += 8) {
        Lanes::store(out + 16 * group + j, floats(bits_at(low + j, 3, 2 * (group % 8 / 2))) * ds - dm);
      }
    }
  }
};

struct Q3K {  // d · scale · q, groups of 16; third bits (set: no 4 taken off), low two bits, six-bit scales, d
  static constexpr int64_t kElements = 256, kBytes = 110;
  static LORAXS_INLINE void unpack(const Byte* block, float* out) {
    const Byte* scales = block + 96;
    const float d = half_at(block + 108);
    for (int group = 0; group < 16; ++group) {
      const int low_bits = group < 8 ? scales[group] & 15 : scales[group - 8] >> 4;
      const int high_bits = scales[8 + group % 4] >> (2 * (group / 4)) & 3;
      const float ds = d * static_cast<float>((low_bits | high_bits << 4) - 32);
      const Byte *low = block + 32 + 32 * (group / 8) + 16 * (group % 2), *high = block + 16 * (group % 2);
      for (int j = 0; j < 16; j += 8) {
        const Ints q = bits_at(low + j, 3, 2 * (group % 8 / 2)) + (bits_at(high + j, 1, group / 2) << 2) - 4;
        Lanes::store(out + 16 * group + j, floats(q) * ds);
      }
    }
  }
};

/// What a four-bit number of an IQ4 block stands for: ggml's kvalues_iq4nl.
constexpr int8_t kFourBitValues[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

/// 32 numbers out of 16 bytes, low halves first, times `scale`.
LORAXS_INLINE void unpack_looked_up(const Byte* low, float scale, float* out) {
  for (int j = 0; j < 16; ++j) {
    out[j] = scale * static_cast<float>(kFourBitValues[low[j] & 15]);
    out[16 + j] = scale * static_cast<float>(kFourBitValues[low[j] >> 4]);
  }
}

struct IQ4NL {  // d · value(q)
  static constexpr int64_t kElements = 32, kBytes = 18;
  static LORAXS_INLINE void unpack(const Byte* block, float* out) { unpack_looked_up(block + 2, half_at(block), out); }
};

struct IQ4XS {  // d · scale · value(q), groups of 32; high two bits of the scales, low four bits, numbers
  static constexpr int64_t kElements = 256, kBytes = 136;
  static LORAXS_INLINE void unpack(const Byte* block, float* out) {
    const float d = half_at(block);
    const int high = block[2] | block[3] << 8;
    for (int group = 0; group < 8; ++group) {
      const int low = block[4 + group / 2] >> (4 * (group % 2)) & 15;
      const int scale = (low | (high >> (2 * group) & 3) << 4) - 32;
      unpack_looked_up(block + 8 + 16 * group, d * static_cast<float>(scale), out + 32 * group);
    }
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
        for (int j = 0; j < 32; j += 8) Lanes::store(group + j, floats(nibbles_at(low + j, half)) * ds - dm);
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
        for (int j = 0; j < 32; j += 8) {
          const Ints q = nibbles_at(low + j, half) | bits_at(high + j, 1, number) << 4;
          Lanes::store(group + j, floats(q) * ds - dm);
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
      for (int half = 0; half < 2; ++half) {
        const float ds = d * static_cast<float>(static_cast<int8_t>(block[192 + 2 * quarter + half]));
        for (int j = 16 * half; j < 16 * half + 16; j += 8) {
          const Ints q = nibbles_at(low + j, quarter % 4 / 2) | bits_at(high + j, 3, 2 * (quarter % 4)) << 4;
          Lanes::store(out + 32 * quarter + j, floats(q - 32) * ds);
        }
      }
    }
  }
};

}  // namespace loraxs::blocks
