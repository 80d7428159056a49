#include "io/block_type.h"

#include <algorithm>
#include <array>
#include <stdexcept>

namespace loraxs {
namespace {

// Numbers, block sizes: GGML_QUANT_SIZES of the gguf package 0.19.
constexpr BlockType other(uint32_t number) { return static_cast<BlockType>(number); }
constexpr std::array kTypes = {
    BlockTypeInfo{BlockType::kF32, "F32", 1, 4, true},
    BlockTypeInfo{BlockType::kF16, "F16", 1, 2, true},
    BlockTypeInfo{BlockType::kBF16, "BF16", 1, 2, true},
    BlockTypeInfo{BlockType::kQ8_0, "Q8_0", 32, 34, true},
    BlockTypeInfo{BlockType::kQ4_0, "Q4_0", 32, 18, true},
    BlockTypeInfo{BlockType::kQ4_1, "Q4_1", 32, 20, true},
    BlockTypeInfo{BlockType::kQ5_0, "Q5_0", 32, 22, true},
    BlockTypeInfo{BlockType::kQ5_1, "Q5_1", 32, 24, true},
    BlockTypeInfo{BlockType::kQ2_K, "Q2_K", 256, 84, true},
    BlockTypeInfo{BlockType::kQ3_K, "Q3_K", 256, 110, true},
    BlockTypeInfo{BlockType::kQ4_K, "Q4_K", 256, 144, true},
    BlockTypeInfo{BlockType::kQ5_K, "Q5_K", 256, 176, true},
    BlockTypeInfo{BlockType::kQ6_K, "Q6_K", 256, 210, true},
    BlockTypeInfo{BlockType::kIQ4_NL, "IQ4_NL", 32, 18, true},
    BlockTypeInfo{BlockType::kIQ4_XS, "IQ4_XS", 256, 136, true},
    BlockTypeInfo{other(9), "Q8_1", 32, 40, false},
    BlockTypeInfo{other(15), "Q8_K", 256, 292, false},
    BlockTypeInfo{other(16), "IQ2_XXS", 256, 66, false},
    BlockTypeInfo{other(17), "IQ2_XS", 256, 74, false},
    BlockTypeInfo{other(18), "IQ3_XXS", 256, 98, false},
    BlockTypeInfo{other(19), "IQ1_S", 256, 50, false},
    BlockTypeInfo{other(21), "IQ3_S", 256, 110, false},
    BlockTypeInfo{other(22), "IQ2_S", 256, 82, false},
    BlockTypeInfo{other(24), "I8", 1, 1, false},
    BlockTypeInfo{other(25), "I16", 1, 2, false},
    BlockTypeInfo{other(26), "I32", 1, 4, false},
    BlockTypeInfo{other(27), "I64", 1, 8, false},
    BlockTypeInfo{other(28), "F64", 1, 8, false},
    BlockTypeInfo{other(29), "IQ1_M", 256, 56, false},
    BlockTypeInfo{other(34), "TQ1_0", 256, 54, false},
    BlockTypeInfo{other(35), "TQ2_0", 256, 66, false},
    BlockTypeInfo{other(39), "MXFP4", 32, 17, false},
    BlockTypeInfo{other(40), "NVFP4", 64, 36, false},
    BlockTypeInfo{other(41), "Q1_0", 128, 18, false},
};

template <typename Match>
std::optional<BlockTypeInfo> find(const Match& match) {
  const auto* found = std::find_if(kTypes.begin(), kTypes.end(), match);
  return found == kTypes.end() ? std::nullopt : std::optional(*found);
}

}  // namespace

std::optional<BlockTypeInfo> find_block_type(uint32_t number) {
  return find([&](const BlockTypeInfo& info) { return info.type == static_cast<BlockType>(number); });
}

std::optional<BlockTypeInfo> find_block_type(std::string_view name) {
  return find([&](const BlockTypeInfo& info) { return info.name == name; });
}

const BlockTypeInfo& block_type_info(BlockType type) {
  const auto* found =
      std::find_if(kTypes.begin(), kTypes.end(), [&](const BlockTypeInfo& info) { return info.type == type; });
  if (found == kTypes.end()) throw std::logic_error("block_type_info: a type that no reader lets through");
  return *found;
}

std::string readable_block_types() {
  std::string list;
  for (const BlockTypeInfo& info : kTypes) {
    if (info.readable) list += (list.empty() ? "" : ", ") + std::string(info.name);
  }
  return list;
}

}  // namespace loraxs
