// ops/block_quantize.h: floats into GGUF blocks: F32, F16, BF16 and Q8_0, bit-equal to the gguf package's quantize.
#pragma once
#include <torch/types.h>

#include <cstddef>
#include <vector>

#include "io/block_type.h"

namespace loraxs {

/// True for the types that quantize_blocks writes.
bool is_writable(BlockType type);

/// `values` [rows, columns] or [columns] float32, row by row. TORCH_CHECKs that the type is writable and that a row is
/// a whole number of blocks.
std::vector<std::byte> quantize_blocks(BlockType type, const torch::Tensor& values);

}  // namespace loraxs
