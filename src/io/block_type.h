// io/block_type.h: how GGUF stores numbers: rows cut into blocks of one type, as ggml's `enum ggml_type` numbers them.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace loraxs {

enum class BlockType : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ2_K = 10,
  kQ3_K = 11,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kIQ4_NL = 20,
  kIQ4_XS = 23,
  kBF16 = 30,
};

/// One type of ggml, of those in BlockType or not: a file with others can be shown, not computed with.
struct BlockTypeInfo {
  BlockType type;
  const char* name;        // "Q4_K"
  int64_t block_elements;  // numbers in one block; a row is a whole number of blocks
  int64_t block_bytes;
  bool readable;  // this program turns it into floats

  int64_t row_bytes(int64_t elements) const { return elements / block_elements * block_bytes; }
};

/// Nothing for a number that ggml has not given away, or has taken back (4, 5, 31-33, 36-38).
std::optional<BlockTypeInfo> find_block_type(uint32_t number);
std::optional<BlockTypeInfo> find_block_type(std::string_view name);
/// Of a type that stands in the table; anything else is a bug.
const BlockTypeInfo& block_type_info(BlockType type);
/// "F32, F16, Q4_0, …": for errors.
std::string readable_block_types();

}  // namespace loraxs
