// ops/paged_attention.h: causal attention of new tokens over keys and values that lie in blocks of a cache.
#pragma once
#include <torch/types.h>

#include "ops/attention.h"

namespace loraxs {

constexpr int64_t kKeysPerBlock = 16;  // tokens of a block: as many keys as a vector register holds floats

/// Keys and values of one layer. A block holds kKeysPerBlock consecutive positions of one sequence; keys stand
/// transposed, so that a query meets 16 keys with one multiplication per element of head_dim.
struct PagedBlocks {
  torch::Tensor keys;    // [blocks, kv_heads, head_dim, kKeysPerBlock]
  torch::Tensor values;  // [blocks, kv_heads, kKeysPerBlock, head_dim]
};

/// Where the sequences of a batch find their blocks. Position p of sequence s lies in block block_tables[s, p / 16].
struct PagedIndex {
  torch::Tensor block_tables;  // [sequences, most blocks] int32
  RowStarts row_starts;        // of the batch's rows
  torch::Tensor positions;     // [rows] int32, position of each row in its sequence
};

/// Writes the key and value columns of rows [rows, width] to their places.
void store_in_blocks_(const PagedBlocks& blocks, const torch::Tensor& rows, const AttentionColumns& columns,
                      const AttentionShape& shape, const PagedIndex& index);

/// softmax(scale · q kᵀ) v over the positions ≤ each query's own, in its window -> [queries, heads · head_dim], dtype
/// of `queries` [queries, width]; softmax and sums in float32 (float64 for float64). `asks` says which rows of the
/// batch ask: query_starts and query_positions are read, the rest of it is not. All positions up to the largest that
/// asks must be in the blocks. A query's result does not depend on how many others stand beside it, bit for bit, by the
/// kernels. No autograd.
torch::Tensor paged_attention(const torch::Tensor& queries, const PagedBlocks& blocks, int64_t query_column,
                              const AttentionShape& shape, const PagedIndex& index, const AttentionIndex& asks);

/// The same by ATen alone: on any device (ops/cpu_kernels.h).
torch::Tensor paged_attention_plain(const torch::Tensor& queries, const PagedBlocks& blocks, int64_t query_column,
                                    const AttentionShape& shape, const PagedIndex& index, const AttentionIndex& asks);

}  // namespace loraxs
