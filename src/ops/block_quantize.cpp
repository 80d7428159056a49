#include "ops/block_quantize.h"

#include <ATen/Parallel.h>
#include <c10/util/Half.h>

#include <cmath>
#include <cstring>

namespace loraxs {
namespace {

/// Half away from zero, as numpy's np_roundf in gguf/quants.py: the sum a + 0.5 would round before it is cut.
float round_away(float value) {
  const float size = std::abs(value), floored = std::floor(size);
  return std::copysign(floored + std::floor(2 * (size - floored)), value);
}

/// Blocks of 32: a float16 scale d = max|x| / 127, then 32 integers round(x · (1 / d)) with the unrounded d.
void quantize_q8_0(const float* values, std::byte* out) {
  constexpr int kElements = 32;
  float largest = 0;
  for (int i = 0; i < kElements; ++i) largest = std::max(largest, std::abs(values[i]));
  const float d = largest / 127, inverse = d == 0 ? 0 : 1 / d;
  const auto scale = static_cast<c10::Half>(d);
  std::memcpy(out, &scale.x, sizeof scale.x);
  for (int i = 0; i < kElements; ++i) {
    out[sizeof scale.x + i] = static_cast<std::byte>(static_cast<int8_t>(round_away(values[i] * inverse)));
  }
}

}  // namespace

bool is_writable(BlockType type) {
  return type == BlockType::kF32 || type == BlockType::kF16 || type == BlockType::kBF16 || type == BlockType::kQ8_0;
}

std::vector<std::byte> quantize_blocks(BlockType type, const torch::Tensor& values) {
  const BlockTypeInfo& info = block_type_info(type);
  TORCH_CHECK(is_writable(type) && values.size(-1) % info.block_elements == 0, "quantize_blocks: ", info.name, " of ",
              values.sizes());
  if (type != BlockType::kQ8_0) {
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
      quantize_q8_0(input.const_data_ptr<float>() + i * info.block_elements, out.data() + i * info.block_bytes);
    }
  });
  return out;
}

}  // namespace loraxs
