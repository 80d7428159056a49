// ops/padded_attention.h: attention by ATen alone, of packed sequences that are padded to one length, run by run.
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <vector>

#include "ops/attention.h"

namespace loraxs {

/// Consecutive sequences that are padded to the longest of them.
struct PaddedRun {
  int64_t first = 0, count = 0;   // sequences
  int64_t queries = 0, keys = 0;  // the most that one of them has
  int64_t begin = 0, end = 0;     // their query rows
};

/// All sequences in runs whose scores, padding included, stay below some 10 million; `keys` [sequences] keys of each.
/// Sequences without queries are in no run. Decided on the host, whatever the device.
std::vector<PaddedRun> padded_runs(const RowStarts& queries, const std::vector<int64_t>& keys, int64_t heads);

/// The rows of a run's sequences, in int64 tensors on the device of `starts`.
struct PaddedRows {
  torch::Tensor rows;     // [sequences, longest] which packed row stands there; past a sequence's own, its last one
  torch::Tensor present;  // [sequences, longest] bool

  /// packed [rows, …] -> [sequences, longest, …]
  torch::Tensor take(const torch::Tensor& packed) const;
};
PaddedRows padded_rows(const RowStarts& starts, const PaddedRun& run, int64_t longest);

/// The way back: padded [sequences, queries, width] -> [end − begin, width], rows of the run in their packed order.
torch::Tensor packed_rows(const torch::Tensor& padded, const RowStarts& starts, const PaddedRun& run);

/// softmax(scale · q kᵀ) v of a run, `queries` [sequences, queries, heads · head_dim] over keys and values [sequences,
/// kv_heads, keys, head_dim] -> like the queries. `hidden` [sequences, queries or 1, keys] bool: what is not seen.
/// `mask` [sequences, kv_heads, group, queries, keys] multiplies the probabilities, or is undefined.
torch::Tensor attend_padded(const torch::Tensor& queries, const torch::Tensor& keys, const torch::Tensor& values,
                            const AttentionShape& shape, const torch::Tensor& hidden, const torch::Tensor& mask);

/// Which sequence each packed row belongs to -> [rows] int64.
torch::Tensor sequence_of_rows(const RowStarts& starts);

}  // namespace loraxs
