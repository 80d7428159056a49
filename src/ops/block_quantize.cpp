#include "ops/block_quantize.h"

#include <ATen/Parallel.h>
#include <c10/util/Half.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iterator>

namespace loraxs {
namespace {

/// Half away from zero, as numpy's np_roundf in gguf/quants.py: the sum a + 0.5 would round before it is cut.
float round_away(float value) {
  const float size = std::abs(value), floored = std::floor(size);
  return std::copysign(floored + std::floor(2 * (size - floored)), value);
}

constexpr int kElements = 32;  // of a block, in all types here

void put_half(std::byte* out, float value) {
  const auto half = static_cast<c10::Half>(value);
  std::memcpy(out, &half.x, sizeof half.x);
}

/// A float16 scale d = max|x| / 127, then 32 integers round(x · (1 / d)) with the unrounded d.
void quantize_q8_0(const float* values, std::byte* out) {
  float largest = 0;
  for (int i = 0; i < kElements; ++i) largest = std::max(largest, std::abs(values[i]));
  const float d = largest / 127, inverse = d == 0 ? 0 : 1 / d;
  put_half(out, d);
  for (int i = 0; i < kElements; ++i) {
    out[sizeof(c10::Half) + i] = static_cast<std::byte>(static_cast<int8_t>(round_away(values[i] * inverse)));
  }
}

/// Codes of `bits` (4 or 5): first their fifth bits, 32 of them, if there are any, then the low four of element i
/// beside those of element i + 16.
void put_codes(const uint8_t* codes, int bits, std::byte* out) {
  if (bits == 5) {
    uint32_t high = 0;
    for (int i = 0; i < kElements; ++i) high |= static_cast<uint32_t>(codes[i] >> 4) << i;
    std::memcpy(out, &high, sizeof high);
    out += sizeof high;
  }
  for (int i = 0; i < kElements / 2; ++i) {
    out[i] = static_cast<std::byte>((codes[i] & 0x0F) | (codes[i + kElements / 2] & 0x0F) << 4);
  }
}

uint8_t code_of(float value, int bits) {
  return static_cast<uint8_t>(std::clamp(std::trunc(value), 0.0F, static_cast<float>((1 << bits) - 1)));
}

/// Q4_0, Q5_0: the number of largest size becomes the lowest code: d = that / -2^(bits - 1), code = x / d + 2^(bits -
/// 1).
template <int kBits>
void quantize_symmetric(const float* values, std::byte* out) {
  constexpr int kMiddle = 1 << (kBits - 1);
  float largest = 0;
  for (int i = 0; i < kElements; ++i) {
    if (std::abs(values[i]) > std::abs(largest)) largest = values[i];
  }
  const float d = largest / -kMiddle, inverse = d == 0 ? 0 : 1 / d;
  uint8_t codes[kElements];
  for (int i = 0; i < kElements; ++i) {
    const float scaled = values[i] * inverse;  // rounded before the sum, as numpy's: no fused multiplication
    codes[i] = code_of(scaled + (kMiddle + 0.5F), kBits);
  }
  put_half(out, d);
  put_codes(codes, kBits, out + sizeof(c10::Half));
}

/// Q4_1, Q5_1: from the least number m on in steps d = (max - m) / (2^bits - 1).
template <int kBits>
void quantize_affine(const float* values, std::byte* out) {
  const auto [least, most] = std::minmax_element(values, values + kElements);
  const float m = *least, d = (*most - m) / ((1 << kBits) - 1), inverse = d == 0 ? 0 : 1 / d;
  uint8_t codes[kElements];
  for (int i = 0; i < kElements; ++i) {
    const float scaled = (values[i] - m) * inverse;
    codes[i] = code_of(scaled + 0.5F, kBits);
  }
  put_half(out, d);
  put_half(out + sizeof(c10::Half), m);
  put_codes(codes, kBits, out + 2 * sizeof(c10::Half));
}

struct WritableType {
  BlockType type;
  const char* name;
  uint32_t file_type;
  void (*quantize)(const float* values, std::byte* out);  // null: one number a block
};
constexpr WritableType kWritable[] = {
    {BlockType::kF32, "float32", 0, nullptr},          {BlockType::kF16, "float16", 1, nullptr},
    {BlockType::kBF16, "bfloat16", 32, nullptr},       {BlockType::kQ8_0, "q8_0", 7, quantize_q8_0},
    {BlockType::kQ5_1, "q5_1", 9, quantize_affine<5>}, {BlockType::kQ5_0, "q5_0", 8, quantize_symmetric<5>},
    {BlockType::kQ4_1, "q4_1", 3, quantize_affine<4>}, {BlockType::kQ4_0, "q4_0", 2, quantize_symmetric<4>}};

template <typename Matches>
const WritableType* find_writable(const Matches& matches) {
  const auto* const found = std::find_if(std::begin(kWritable), std::end(kWritable), matches);
  return found == std::end(kWritable) ? nullptr : found;
}

const WritableType* find_writable(BlockType type) {
  return find_writable([&](const WritableType& each) { return each.type == type; });
}

}  // namespace

bool is_writable(BlockType type) { return find_writable(type) != nullptr; }

std::optional<BlockType> writable_type(const std::string& name) {
  const WritableType* found = find_writable([&](const WritableType& each) { return each.name == name; });
  return found == nullptr ? std::nullopt : std::optional(found->type);
}

std::string writable_type_names() {
  std::string names;
  for (const WritableType& each : kWritable) names += (names.empty() ? "" : ", ") + std::string(each.name);
  return names;
}

BlockType written_type(const std::vector<int64_t>& shape, BlockType wanted) {
  return shape.back() % block_type_info(wanted).block_elements == 0 ? wanted : BlockType::kF16;
}

uint32_t gguf_file_type(BlockType type) {
  const WritableType* found = find_writable(type);
  TORCH_CHECK(found != nullptr, "gguf_file_type: a type that is not written");
  return found->file_type;
}

std::vector<std::byte> quantize_blocks(BlockType type, const torch::Tensor& values) {
  const BlockTypeInfo& info = block_type_info(type);
  const WritableType* writable = find_writable(type);
  TORCH_CHECK(writable != nullptr && values.size(-1) % info.block_elements == 0, "quantize_blocks: ", info.name, " of ",
              values.sizes());
  if (writable->quantize == nullptr) {
    const auto dtype = type == BlockType::kF16    ? torch::kFloat16
                       : type == BlockType::kBF16 ? torch::kBFloat16
                                                  : torch::kFloat32;
    const torch::Tensor stored = values.to(dtype).contiguous();
    const auto* bytes = static_cast<const std::byte*>(stored.const_data_ptr());
    return {bytes, bytes + stored.nbytes()};
  }
  const torch::Tensor input = values.to(torch::kFloat32).contiguous();
  const int64_t blocks = input.numel() / info.block_elements;
  std::vector<std::byte> out(blocks * info.block_bytes);
  constexpr int64_t kGrain = 1024;  // blocks a thread takes
  at::parallel_for(0, blocks, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      writable->quantize(input.const_data_ptr<float>() + i * info.block_elements, out.data() + i * info.block_bytes);
    }
  });
  return out;
}

}  // namespace loraxs
