#include <algorithm>

#include "ops/attention.h"
#include "ops/padded_attention.h"

namespace loraxs {

// Runs of sequences padded to one length: [sequences, kv_heads, group · queries, keys] scores at a time. Query heads
// that share a key/value head stand below each other, so that keys need no copies.
torch::Tensor varlen_attention_plain(const torch::Tensor& queries, const torch::Tensor& keys_values,
                                     const AttentionColumns& columns, const AttentionShape& shape,
                                     const AttentionIndex& index, const Dropout& dropout) {
  const int64_t group = shape.heads / shape.kv_heads, width = shape.heads * shape.head_dim;
  const auto type = queries.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  std::vector<int64_t> key_counts;
  key_counts.reserve(index.key_starts.sequences());
  for (int64_t s = 0; s < index.key_starts.sequences(); ++s) key_counts.push_back(index.key_starts.count(s));
  std::vector<torch::Tensor> outputs;
  for (const PaddedRun& run : padded_runs(index.query_starts, key_counts, shape.heads)) {
    const PaddedRows asking = padded_rows(index.query_starts, run, run.queries),
                     seen = padded_rows(index.key_starts, run, run.keys);
    const auto heads_of = [&](int64_t column) {  // -> [sequences, kv_heads, keys, head_dim]
      return seen.take(keys_values.narrow(1, column, shape.kv_heads * shape.head_dim))
          .view({run.count, run.keys, shape.kv_heads, shape.head_dim})
          .transpose(1, 2)
          .to(type);
    };
    const torch::Tensor positions = asking.take(index.query_positions.to(torch::kInt64));  // [sequences, queries]
    torch::Tensor hidden = seen.present.logical_not().unsqueeze(1);                        // [sequences, 1, keys]
    if (shape.causal) {
      const torch::Tensor ahead =
          torch::arange(run.keys, positions.options()) - positions.unsqueeze(-1);  // [sequences, queries, keys]
      torch::Tensor masked = ahead > 0;
      if (shape.window > 0) masked = masked.logical_or(ahead <= -shape.window);
      hidden = hidden.logical_or(masked);
    }
    torch::Tensor mask;
    if (dropout.active()) {
      const torch::Tensor keys = index.dropout_keys.narrow(0, run.first, run.count).view({run.count, 1, 1, 1}),
                          heads = torch::arange(shape.heads, keys.options()).view({1, shape.kv_heads, group, 1});
      mask = dropout_mask(dropout, keys, positions.view({run.count, 1, 1, run.queries}), heads, run.keys);
    }
    const torch::Tensor out = attend_padded(asking.take(queries.narrow(1, columns.query, width)), heads_of(columns.key),
                                            heads_of(columns.value), shape, hidden, mask);
    outputs.push_back(packed_rows(out, index.query_starts, run));
  }
  if (outputs.empty()) return queries.new_empty({0, width});
  return torch::cat(outputs).to(queries.scalar_type());
}

}  // namespace loraxs
