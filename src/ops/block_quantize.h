// ops/block_quantize.h: floats into GGUF blocks: F32, F16, BF16, Q8_0, Q5_1, Q5_0, Q4_1 and Q4_0, bit-equal to the gguf
// package's quantize. K-quants are searched for by ggml, which that package does not repeat: they are read, not
// written.
#pragma once
#include <torch/types.h>

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "io/block_type.h"

namespace loraxs {

/// True for the types that quantize_blocks writes.
bool is_writable(BlockType type);

/// The type that options call "float32", "float16", "bfloat16", "q8_0", …; nothing for other names.
std::optional<BlockType> writable_type(const std::string& name);
std::string writable_type_names();  // "float32, float16, …": for errors

/// What a tensor of `shape` is written as where most are `wanted`: F16 where a row is no whole number of its blocks.
BlockType written_type(const std::vector<int64_t>& shape, BlockType wanted);

/// general.file_type as llama.cpp numbers it (llama.h, LLAMA_FTYPE_*): what most matrices are.
uint32_t gguf_file_type(BlockType type);

/// `values` [rows, columns] or [columns] float32, row by row. TORCH_CHECKs that the type is writable and that a row is
/// a whole number of blocks.
std::vector<std::byte> quantize_blocks(BlockType type, const torch::Tensor& values);

}  // namespace loraxs
