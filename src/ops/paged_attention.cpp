#include "ops/paged_attention.h"

#include <ATen/Parallel.h>

#include <algorithm>

#include "ops/cpu_kernels.h"
#include "ops/padded_attention.h"
#include "ops/simd.h"
#include "ops/softmax_row.h"

namespace loraxs {
namespace {

constexpr int64_t kQueryRows = 48;  // (query, head) pairs whose scores stand in the scratch at once

struct PagedKeys {
  int64_t begin, end;
};

/// One (sequence, key/value head) without tensors. A row is a (query, head of the group) pair, query by query.
template <typename T>
struct PagedWork {
  const T* query;  // first query of the sequence, first head of the group
  int64_t query_stride, num_queries, group, head_dim;
  const int32_t *positions, *table;
  const T *keys, *values;  // the head's part of block 0
  int64_t block_stride;    // elements from a block to the next, in keys and in values
  float scale;
  int64_t window;  // 0 = all

  /// Positions that the query of `row` sees.
  PagedKeys keys_of_row(int64_t row) const {
    const int64_t end = positions[row / group] + 1;
    return {window > 0 && end > window ? end - window : 0, end};
  }
};

/// Of one thread; kept, because every layer of every step asks for it. Whatever is read was written before.
struct PagedScratch {
  int64_t dim = 0;
  std::vector<float> queries, scores, out;

  /// Room for `rows` rows that see at most `keys` positions.
  void prepare(int64_t rows, int64_t keys, int64_t head_dim) {
    dim = simd::padded(head_dim);
    const auto grow = [](std::vector<float>& numbers, int64_t size) {
      if (numbers.size() < static_cast<size_t>(size)) numbers.resize(static_cast<size_t>(size));
    };
    grow(queries, rows * dim);
    grow(scores, rows * simd::padded(keys));
    grow(out, rows * dim);
  }
};

/// Attention of rows [first, first + count): out [count, head_dim] in s.out. Blocks before the windows of all rows are
/// left out; those before the window of one row add zeros to it, so its bits stay the same.
template <typename T>
LORAXS_INLINE void attend_rows(const PagedWork<T>& w, PagedScratch& s, int64_t first, int64_t count) {
  PagedKeys seen{.begin = w.keys_of_row(first).begin, .end = 0};  // by any row; positions rise within a sequence
  for (int64_t i = 0; i < count; ++i) {
    const int64_t row = first + i;
    const T* q = w.query + row / w.group * w.query_stride + row % w.group * w.head_dim;
    for (int64_t c = 0; c < w.head_dim; ++c) s.queries[i * s.dim + c] = simd::widen(q + c) * w.scale;
    seen.end = std::max(seen.end, w.keys_of_row(row).end);
  }
  const int64_t first_block = seen.begin / kKeysPerBlock, start = first_block * kKeysPerBlock;
  const int64_t blocks = (seen.end + kKeysPerBlock - 1) / kKeysPerBlock, stride = blocks * kKeysPerBlock - start;
  for (int64_t b = first_block; b < blocks; ++b) {
    simd::gemm_rows(s.scores.data() + b * kKeysPerBlock - start, stride, s.queries.data(), s.dim, int64_t{1},
                    w.keys + w.table[b] * w.block_stride, kKeysPerBlock, 0, count, kKeysPerBlock, w.head_dim, 1.0F,
                    false);
  }
  for (int64_t i = 0; i < count; ++i) {
    float* row = s.scores.data() + i * stride;
    const PagedKeys visible = w.keys_of_row(first + i);
    const int64_t begin = visible.begin - start, end = visible.end - start;
    simd::softmax_row(row, begin, end, stride);
  }
  for (int64_t b = first_block; b < blocks; ++b) {  // unwritten places of the last block may hold anything: not read
    const int64_t keys = std::min(kKeysPerBlock, seen.end - b * kKeysPerBlock);
    simd::gemm_rows(s.out.data(), s.dim, s.scores.data() + b * kKeysPerBlock - start, stride, int64_t{1},
                    w.values + w.table[b] * w.block_stride, w.head_dim, 0, count, w.head_dim, keys, 1.0F,
                    /*accumulate=*/b > first_block);
  }
}

template <typename T>
LORAXS_INLINE void attend_paged(const PagedWork<T>& w, PagedScratch& s, T* out, int64_t out_stride) {
  const int64_t rows = w.num_queries * w.group;
  for (int64_t first = 0; first < rows; first += kQueryRows) {
    const int64_t count = std::min(kQueryRows, rows - first);
    attend_rows(w, s, first, count);
    for (int64_t i = 0; i < count; ++i) {
      T* to = out + (first + i) / w.group * out_stride + (first + i) % w.group * w.head_dim;
      for (int64_t c = 0; c < w.head_dim; ++c) simd::narrow(to + c, s.out[i * s.dim + c]);
    }
  }
}

template <typename T>
torch::Tensor paged_attention_fast(const torch::Tensor& queries, const PagedBlocks& blocks, int64_t query_column,
                                   const AttentionShape& shape, const PagedIndex& index, const AttentionIndex& asks) {
  const int64_t stride = shape.heads * shape.head_dim, group = shape.heads / shape.kv_heads;
  const int64_t sequences = index.block_tables.size(0), width = index.block_tables.size(1);
  torch::Tensor out = queries.new_empty({queries.size(0), stride});
  T* out_data = out.mutable_data_ptr<T>();
  const T *query_data = queries.const_data_ptr<T>() + query_column, *keys = blocks.keys.const_data_ptr<T>(),
          *values = blocks.values.const_data_ptr<T>();
  const int32_t *starts = asks.query_starts.host.data(), *positions = asks.query_positions.const_data_ptr<int32_t>(),
                *tables = index.block_tables.const_data_ptr<int32_t>();
  at::parallel_for(0, sequences * shape.kv_heads, 1, [&](int64_t begin, int64_t end) {
    thread_local PagedScratch scratch;
    for (int64_t task = begin; task < end; ++task) {
      const int64_t s = task / shape.kv_heads, kv_head = task % shape.kv_heads;
      const int64_t head_column = kv_head * group * shape.head_dim;
      const PagedWork<T> work{.query = query_data + starts[s] * queries.stride(0) + head_column,
                              .query_stride = queries.stride(0),
                              .num_queries = starts[s + 1] - starts[s],
                              .group = group,
                              .head_dim = shape.head_dim,
                              .positions = positions + starts[s],
                              .table = tables + s * width,
                              .keys = keys + kv_head * shape.head_dim * kKeysPerBlock,
                              .values = values + kv_head * shape.head_dim * kKeysPerBlock,
                              .block_stride = shape.kv_heads * shape.head_dim * kKeysPerBlock,
                              .scale = static_cast<float>(shape.scale),
                              .window = shape.window};
      scratch.prepare(std::min(kQueryRows, work.num_queries * group), width * kKeysPerBlock, shape.head_dim);
      simd::kernel<attend_paged<T>>(work, scratch, out_data + starts[s] * stride + head_column, stride);
    }
  });
  return out;
}

template <typename T>
void store_fast(const PagedBlocks& blocks, const torch::Tensor& rows, const AttentionColumns& columns,
                const AttentionShape& shape, const PagedIndex& index) {
  const int64_t width = index.block_tables.size(1), head_dim = shape.head_dim;
  T *keys = blocks.keys.mutable_data_ptr<T>(), *values = blocks.values.mutable_data_ptr<T>();
  const T* data = rows.const_data_ptr<T>();
  const int32_t *starts = index.row_starts.host.data(), *positions = index.positions.const_data_ptr<int32_t>(),
                *tables = index.block_tables.const_data_ptr<int32_t>();
  for (int64_t s = 0; s < index.block_tables.size(0); ++s) {
    for (int64_t row = starts[s]; row < starts[s + 1]; ++row) {
      const int64_t block = tables[s * width + positions[row] / kKeysPerBlock], place = positions[row] % kKeysPerBlock;
      for (int64_t h = 0; h < shape.kv_heads; ++h) {
        const int64_t base = (block * shape.kv_heads + h) * head_dim * kKeysPerBlock;
        const T* key = data + row * rows.stride(0) + columns.key + h * head_dim;
        for (int64_t c = 0; c < head_dim; ++c) keys[base + c * kKeysPerBlock + place] = key[c];
        const T* value = data + row * rows.stride(0) + columns.value + h * head_dim;
        std::copy_n(value, head_dim, values + base + place * head_dim);
      }
    }
  }
}

void store_plain(const PagedBlocks& blocks, const torch::Tensor& rows, const AttentionColumns& columns,
                 const AttentionShape& shape, const PagedIndex& index) {
  const torch::Tensor positions = index.positions.to(torch::kInt64), place = positions.remainder(kKeysPerBlock);
  const torch::Tensor number = positions.div(kKeysPerBlock, "floor").unsqueeze(1);  // in the sequence's table
  const torch::Tensor block = index.block_tables.index_select(0, sequence_of_rows(index.row_starts))
                                  .to(torch::kInt64)
                                  .gather(1, number)
                                  .squeeze(1);  // [rows]
  const auto heads_of = [&](int64_t column) {   // -> [rows, kv_heads, head_dim]
    return rows.narrow(1, column, shape.kv_heads * shape.head_dim)
        .reshape({rows.size(0), shape.kv_heads, shape.head_dim});
  };
  // Views with block and place in front: [blocks, kKeysPerBlock, kv_heads, head_dim].
  blocks.keys.permute({0, 3, 1, 2}).index_put_({block, place}, heads_of(columns.key));
  blocks.values.permute({0, 2, 1, 3}).index_put_({block, place}, heads_of(columns.value));
}

}  // namespace

void store_in_blocks_(const PagedBlocks& blocks, const torch::Tensor& rows, const AttentionColumns& columns,
                      const AttentionShape& shape, const PagedIndex& index) {
  TORCH_CHECK(rows.scalar_type() == blocks.keys.scalar_type(), "store_in_blocks_: rows of ", rows.scalar_type(),
              ", blocks of ", blocks.keys.scalar_type());
  if (!on_cpu_kernels(rows, blocks.keys, blocks.values, index.block_tables, index.positions)) {
    return store_plain(blocks, rows, columns, shape, index);
  }
  if (rows.scalar_type() == torch::kFloat32) return store_fast<float>(blocks, rows, columns, shape, index);
  return store_fast<c10::BFloat16>(blocks, rows, columns, shape, index);
}

torch::Tensor paged_attention(const torch::Tensor& queries, const PagedBlocks& blocks, int64_t query_column,
                              const AttentionShape& shape, const PagedIndex& index, const AttentionIndex& asks) {
  TORCH_CHECK(shape.heads % shape.kv_heads == 0, "paged_attention: ", shape.heads, " heads over ", shape.kv_heads);
  TORCH_CHECK(queries.scalar_type() == blocks.keys.scalar_type(), "paged_attention: queries of ", queries.scalar_type(),
              ", blocks of ", blocks.keys.scalar_type());
  if (!on_cpu_kernels(queries, blocks.keys, blocks.values, index.block_tables, asks.query_positions)) {
    return paged_attention_plain(queries, blocks, query_column, shape, index, asks);
  }
  if (queries.scalar_type() == torch::kFloat32)
    return paged_attention_fast<float>(queries, blocks, query_column, shape, index, asks);
  return paged_attention_fast<c10::BFloat16>(queries, blocks, query_column, shape, index, asks);
}

// Runs of sequences whose queries are padded to one length, each over all blocks of its table.
torch::Tensor paged_attention_plain(const torch::Tensor& queries, const PagedBlocks& blocks, int64_t query_column,
                                    const AttentionShape& shape, const PagedIndex& index, const AttentionIndex& asks) {
  const int64_t width = shape.heads * shape.head_dim;
  const int64_t table = index.block_tables.size(1), keys = table * kKeysPerBlock;
  const auto type = queries.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  const std::vector<int64_t> key_counts(index.block_tables.size(0), keys);
  std::vector<torch::Tensor> outputs;
  for (const PaddedRun& run : padded_runs(asks.query_starts, key_counts, shape.heads)) {
    const PaddedRows asking = padded_rows(asks.query_starts, run, run.queries);
    const torch::Tensor positions = asking.take(asks.query_positions.to(torch::kInt64));  // [sequences, queries]
    const torch::Tensor places = torch::arange(keys, positions.options());
    const torch::Tensor tables = index.block_tables.narrow(0, run.first, run.count).flatten();
    const auto taken = [&](const torch::Tensor& kept,
                           at::IntArrayRef order) {  // -> [sequences, kv_heads, keys, head_dim]
      std::vector<int64_t> sizes = kept.sizes().vec();
      sizes[0] = table;
      sizes.insert(sizes.begin(), run.count);
      return kept.index_select(0, tables)
          .view(sizes)
          .permute(order)
          .reshape({run.count, shape.kv_heads, keys, shape.head_dim})
          .to(type);
    };
    // What was never written may be anything, and 0 · NaN is NaN.
    const torch::Tensor beyond = places > positions.amax(1, /*keepdim=*/true);  // [sequences, keys]
    const torch::Tensor k = taken(blocks.keys, {0, 2, 1, 4, 3});
    const torch::Tensor v = taken(blocks.values, {0, 2, 1, 3, 4}).masked_fill(beyond.view({run.count, 1, keys, 1}), 0);
    const torch::Tensor distance = positions.unsqueeze(-1) - places;  // [sequences, queries, keys]
    torch::Tensor hidden = distance < 0;
    if (shape.window > 0) hidden = hidden.logical_or(distance >= shape.window);
    const torch::Tensor out =
        attend_padded(asking.take(queries.narrow(1, query_column, width)), k, v, shape, hidden, /*mask=*/{});
    outputs.push_back(packed_rows(out, asks.query_starts, run));
  }
  if (outputs.empty()) return queries.new_empty({0, width});
  return torch::cat(outputs).to(queries.scalar_type());
}

}  // namespace loraxs
