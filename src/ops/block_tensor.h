// ops/block_tensor.h: a frozen tensor that stays as its file stores it, in GGUF blocks, and is turned into numbers
// where they are needed.
#pragma once
#include <torch/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "io/block_type.h"

namespace loraxs {

struct BlockTensor {
  BlockType type = BlockType::kF32;   // readable
  std::vector<int64_t> shape;         // [rows, columns] or [columns]; a row is a whole number of blocks
  std::span<const std::byte> bytes;   // rows one after the other
  std::shared_ptr<const void> owner;  // of the bytes
  int64_t interleaved_heads = 0;      // > 0: rows stand as llama.cpp keeps query and key, see stored_row

  int64_t columns() const { return shape.empty() ? 1 : shape.back(); }
  int64_t rows() const { return shape.size() < 2 ? 1 : shape[0]; }
  /// Where row `row` of the model stands in the file. Hugging Face rotates features i and i + head_dim / 2 of a head
  /// together, ggml 2i and 2i + 1; so the conversion of the llama family writes the rows of each head as
  /// 0, D/2, 1, D/2 + 1, … (convert_hf_to_gguf.py, LlamaModel.permute).
  int64_t stored_row(int64_t row) const {
    if (interleaved_heads == 0) return row;
    const int64_t head_dim = rows() / interleaved_heads, head = row / head_dim, feature = row % head_dim;
    return head * head_dim + feature % (head_dim / 2) * 2 + feature / (head_dim / 2);
  }
};

/// `elements` numbers out of whole blocks, bit-equal to the gguf package's dequantize.
void dequantize_blocks(BlockType type, const std::byte* blocks, int64_t elements, float* out);

/// The whole tensor, in the model's row order. float32 values, rounded to nearest where `dtype` is bfloat16.
torch::Tensor dequantize(const BlockTensor& tensor, torch::ScalarType dtype = torch::kFloat32);
/// Rows [begin, end) into `out` [end - begin, columns], float32 or bfloat16, contiguous.
void dequantize_rows_(const torch::Tensor& out, const BlockTensor& tensor, int64_t begin, int64_t end);
/// Rows `ids` [tokens] int64 -> [tokens, columns]: a word embedding's lookup.
torch::Tensor gather_rows(const BlockTensor& tensor, const torch::Tensor& ids, torch::ScalarType dtype);

/// `values` [rows, columns], float32 or bfloat16, contiguous, as a tensor of blocks of one number: the same memory.
BlockTensor block_view(const torch::Tensor& values);

/// out [x rows, tensor rows] = x [x rows, columns] · tensorᵀ. Rows of the tensor are unpacked into cache once and
/// multiplied with all of x there, so the weights are read once, at their size in the file. x and out: float32 or
/// bfloat16, unit column stride; sums in float32, in one fixed order: a row of the result does not depend on how many
/// there are.
void block_product_(const torch::Tensor& out, const torch::Tensor& x, const BlockTensor& tensor);

}  // namespace loraxs
