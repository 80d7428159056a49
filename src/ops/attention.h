// ops/attention.h: attention over packed sequences, each attending to itself only. No padding, no mask tensor.
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <vector>

#include "ops/dropout.h"

namespace loraxs {

/// Heads of one attention. Query head h reads key/value head h / (heads / kv_heads).
struct AttentionShape {
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  double scale = 1;     // scores are multiplied by it: 1 / sqrt(head_dim) as a rule
  bool causal = false;  // query at position p sees keys at positions ≤ p
  int64_t window = 0;   // causal only: and at positions > p − window; 0 = all
};

/// Where each sequence's rows start: sequence s owns rows [starts[s], starts[s+1]). The same numbers twice, since a
/// loop over sequences must not wait for a device to say how long they are.
struct RowStarts {
  std::vector<int32_t> host;  // [sequences + 1]
  torch::Tensor tensor;       // [sequences + 1] int32, where the rows are

  /// Of rows on the CPU.
  static RowStarts of(const std::vector<int32_t>& starts) { return {starts, torch::tensor(starts, torch::kInt32)}; }
  int64_t sequences() const { return static_cast<int64_t>(host.size()) - 1; }
  int64_t count(int64_t sequence) const { return host[sequence + 1] - host[sequence]; }
};

/// Which rows belong together.
struct AttentionIndex {
  RowStarts query_starts;
  RowStarts key_starts;           // the same when every token asks
  torch::Tensor query_positions;  // [queries] int32, position of each query row in its sequence; key j has position j
  torch::Tensor dropout_keys;     // [sequences] int64
  int64_t max_queries = 0;        // longest run of queries
  int64_t max_keys = 0;           // longest sequence of keys
};

/// Where query, key and value stand in the wide outputs of joined projections: columns [query, query + heads ·
/// head_dim) of `queries`, and so on. Further columns (the u = x aᵀ of adapted sites) are skipped.
struct AttentionColumns {
  int64_t query = 0;
  int64_t key = 0;
  int64_t value = 0;
};

/// softmax(scale · q kᵀ) v per sequence and head -> [queries, heads · head_dim], dtype of the inputs; softmax in
/// float32 (float64 for float64). Dropout acts on the probabilities. `queries` [queries, width] and `keys_values`
/// [tokens, width'] may be the same tensor (one joined projection); then one gradient [tokens, width] comes back, else
/// one each. Gradient columns outside query, key and value are zero: the adapted projection before writes its v R
/// there. Nothing but the inputs is kept for backward: probabilities are recomputed.
torch::Tensor varlen_attention(const torch::Tensor& queries, const torch::Tensor& keys_values,
                               const AttentionColumns& columns, const AttentionShape& shape,
                               const AttentionIndex& index, const Dropout& dropout);

/// The same by ATen alone: on any device (ops/cpu_kernels.h). Probabilities are kept.
torch::Tensor varlen_attention_plain(const torch::Tensor& queries, const torch::Tensor& keys_values,
                                     const AttentionColumns& columns, const AttentionShape& shape,
                                     const AttentionIndex& index, const Dropout& dropout);

}  // namespace loraxs
