// ops/int8_product.h: sixteen rows of a frozen matrix of small integers times rows of 8-bit activations.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace loraxs::int8 {

constexpr int64_t kBlock = 32;      // columns that share a scale
constexpr int64_t kPanelRows = 16;  // rows of W that stand side by side
constexpr int64_t kGroup = 4;       // columns whose products one lane adds

/// How the numbers of a block are kept: w = d · q + m with q of four bits (0 to 15), or w = d · q with q of eight
/// (-128 to 127); d and m as float16 or float32.
enum class Format : uint8_t { kFourHalf, kFourFloat, kEightHalf, kEightFloat };
constexpr bool four_bits(Format format) { return format == Format::kFourHalf || format == Format::kFourFloat; }
constexpr bool half_scales(Format format) { return format == Format::kFourHalf || format == Format::kEightHalf; }
/// Of the integers of a panel's block: byte 4 · row + i of group g is column 4 g + i; with four bits the high half is
/// column 16 + 4 g + i. Behind them d of the sixteen rows, then, with four bits, m.
constexpr int64_t integer_bytes(Format format) { return kPanelRows * kBlock / (four_bits(format) ? 2 : 1); }
constexpr int64_t block_bytes(Format format) {
  return integer_bytes(format) + kPanelRows * (half_scales(format) ? 2 : 4) * (four_bits(format) ? 2 : 1);
}

/// Rows of x as integers: x ≈ scale · q per row and block. What does not fill a block is zero.
struct Activations {
  const int8_t* q = nullptr;       // [rows, blocks, kBlock], -127 to 127
  const float* scale = nullptr;    // [rows, blocks]; NaN where x is not finite
  const int32_t* total = nullptr;  // [rows, blocks] Σ q
  const float* sum = nullptr;      // [rows, blocks] scale · Σ q
  int64_t rows = 0;
  int64_t blocks = 0;
};

/// sums [rows, kPanelRows], rows `stride` apart, = x · panelᵀ. Sums over a block are exact; over blocks they are one
/// chain per number, in order: sum = fma(float(Σ q q'), d · scale, sum), then with four bits sum = fma(m, sum of x,
/// sum). So every kernel gives the same bits, for any number of rows.
using PanelProduct = void (*)(Format format, const std::byte* panel, const Activations& x, float* sums, int64_t stride);
/// One row of x, of blocks · kBlock numbers, into q, and scale, total and sum [blocks].
using QuantizeRow = void (*)(const float* x, int64_t blocks, int8_t* q, float* scale, int32_t* total, float* sum);

struct Kernel {
  const char* name;  // "plain", "avx2", "avxvnni", "avx512vnni"
  PanelProduct multiply;
  QuantizeRow quantize;
};

/// Those that this CPU has and LORAXS_ISA allows, the fastest last.
std::vector<Kernel> kernels();
const Kernel& kernel();  // the fastest

// One source for each instruction set, compiled for it; nothing else may come out of those.
void multiply_plain(Format format, const std::byte* panel, const Activations& x, float* sums, int64_t stride);
void multiply_avx2(Format format, const std::byte* panel, const Activations& x, float* sums, int64_t stride);
void multiply_avxvnni(Format format, const std::byte* panel, const Activations& x, float* sums, int64_t stride);
void multiply_avx512vnni(Format format, const std::byte* panel, const Activations& x, float* sums, int64_t stride);
void quantize_plain(const float* x, int64_t blocks, int8_t* q, float* scale, int32_t* total, float* sum);
void quantize_avx2(const float* x, int64_t blocks, int8_t* q, float* scale, int32_t* total, float* sum);

constexpr float kLeast = 1e-30F;  // a block whose largest number is smaller counts as zeros

}  // namespace loraxs::int8
