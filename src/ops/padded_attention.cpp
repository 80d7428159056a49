#include "ops/padded_attention.h"

#include <algorithm>
#include <cmath>

namespace loraxs {
namespace {

constexpr int64_t kMostScores = 10'000'000;  // 40 MB of float32; a sequence that has more stands alone

torch::Tensor row_starts_of(const RowStarts& starts, int64_t first, int64_t count) {
  return starts.tensor.narrow(0, first, count).to(torch::kInt64);
}

/// 0 0 0 1 1 2 …: counts [sequences] int64, `rows` their sum, which the host knows: nobody waits for the device.
torch::Tensor repeated_numbers(const torch::Tensor& counts, int64_t rows) {
  return torch::arange(counts.size(0), counts.options()).repeat_interleave(counts, 0, rows);
}

}  // namespace

std::vector<PaddedRun> padded_runs(const RowStarts& queries, const std::vector<int64_t>& keys, int64_t heads) {
  std::vector<PaddedRun> runs;
  for (int64_t s = 0; s < queries.sequences(); ++s) {
    const int64_t own_queries = queries.count(s), own_keys = keys[s];
    if (own_queries == 0) continue;
    if (!runs.empty() && runs.back().first + runs.back().count == s) {
      PaddedRun& run = runs.back();
      const int64_t most_queries = std::max(run.queries, own_queries), most_keys = std::max(run.keys, own_keys);
      if ((run.count + 1) * most_queries * most_keys * heads <= kMostScores) {
        run = {run.first, run.count + 1, most_queries, most_keys, run.begin, queries.host[s + 1]};
        continue;
      }
    }
    runs.push_back({s, 1, own_queries, own_keys, queries.host[s], queries.host[s + 1]});
  }
  return runs;
}

torch::Tensor PaddedRows::take(const torch::Tensor& packed) const {
  std::vector<int64_t> shape = packed.sizes().vec();
  shape[0] = rows.size(1);
  shape.insert(shape.begin(), rows.size(0));
  return packed.index_select(0, rows.flatten()).view(shape);
}

PaddedRows padded_rows(const RowStarts& starts, const PaddedRun& run, int64_t longest) {
  const torch::Tensor begin = row_starts_of(starts, run.first, run.count).unsqueeze(1),
                      end = row_starts_of(starts, run.first + 1, run.count).unsqueeze(1);  // [sequences, 1]
  const torch::Tensor rows = begin + torch::arange(longest, begin.options());
  return {.rows = rows.minimum(end - 1), .present = rows < end};
}

torch::Tensor packed_rows(const torch::Tensor& padded, const RowStarts& starts, const PaddedRun& run) {
  const torch::Tensor begin = row_starts_of(starts, run.first, run.count),
                      end = row_starts_of(starts, run.first + 1, run.count);
  const int64_t rows = run.end - run.begin;
  const torch::Tensor sequence = repeated_numbers(end - begin, rows);  // [rows]
  const torch::Tensor place = torch::arange(run.begin, run.end, sequence.options()) - begin.index_select(0, sequence);
  return padded.flatten(0, 1).index_select(0, sequence * run.queries + place);
}

// Query heads that share a key/value head stand below each other, so that keys need no copies: scores are [sequences,
// kv_heads, group · queries, keys].
torch::Tensor attend_padded(const torch::Tensor& queries, const torch::Tensor& keys, const torch::Tensor& values,
                            const AttentionShape& shape, const torch::Tensor& hidden, const torch::Tensor& mask) {
  const int64_t sequences = queries.size(0), rows = queries.size(1), group = shape.heads / shape.kv_heads;
  const torch::Tensor q = queries.view({sequences, rows, shape.kv_heads, group, shape.head_dim})
                              .permute({0, 2, 3, 1, 4})
                              .to(keys.scalar_type())
                              .reshape({sequences, shape.kv_heads, group * rows, shape.head_dim});
  torch::Tensor p = (q.matmul(keys.transpose(2, 3)) * shape.scale)
                        .view({sequences, shape.kv_heads, group, rows, keys.size(2)})
                        .masked_fill(hidden.unsqueeze(1).unsqueeze(1), -INFINITY)
                        .softmax(-1);
  if (mask.defined()) p = p * mask.to(p.scalar_type());
  return p.flatten(2, 3)
      .matmul(values)
      .view({sequences, shape.kv_heads, group, rows, shape.head_dim})
      .permute({0, 3, 1, 2, 4})
      .reshape(queries.sizes());
}

torch::Tensor sequence_of_rows(const RowStarts& starts) {
  const torch::Tensor begin = row_starts_of(starts, 0, starts.sequences()),
                      end = row_starts_of(starts, 1, starts.sequences());
  return repeated_numbers(end - begin, starts.host.back());
}

}  // namespace loraxs
