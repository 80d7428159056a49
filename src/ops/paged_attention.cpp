#include "ops/paged_attention.h"

#include <ATen/Parallel.h>

#include <algorithm>

#include "ops/simd.h"

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

struct PagedScratch {
  int64_t dim;
  std::vector<float> queries, scores, out;

  PagedScratch(int64_t max_keys, int64_t head_dim) : dim(simd::padded(head_dim)) {
    queries.assign(kQueryRows * dim, 0);
    scores.assign(kQueryRows * simd::padded(max_keys), 0);
    out.assign(kQueryRows * dim, 0);
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
    float largest = row[begin];
#pragma omp simd reduction(max : largest)
    for (int64_t j = begin; j < end; ++j) largest = row[j] > largest ? row[j] : largest;
#pragma omp simd
    for (int64_t j = begin; j < end; ++j) row[j] = simd::exponential(row[j] - largest);
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = begin; j < end; ++j) sum += row[j];
    const float inverse = 1.0F / sum;
#pragma omp simd
    for (int64_t j = begin; j < end; ++j) row[j] *= inverse;
    for (int64_t j = 0; j < begin; ++j) row[j] = 0;
    for (int64_t j = end; j < stride; ++j) row[j] = 0;
  }
  for (int64_t b = first_block; b < blocks; ++b) {  // unwritten places of the last block may hold anything: not read
    const int64_t keys = std::min(kKeysPerBlock, seen.end - b * kKeysPerBlock);
    simd::gemm_rows(s.out.data(), s.dim, s.scores.data() + b * kKeysPerBlock - start, stride, int64_t{1},
                    w.values + w.table[b] * w.block_stride, w.head_dim, 0, count, w.head_dim, keys, 1.0F,
                    /*accumulate=*/b > first_block);
  }
}

template <typename T>
LORAXS_INLINE void attend(const PagedWork<T>& w, PagedScratch& s, T* out, int64_t out_stride) {
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

LORAXS_KERNEL void attend_kernel(const PagedWork<float>& w, PagedScratch& s, float* out, int64_t out_stride) {
  attend(w, s, out, out_stride);
}
LORAXS_KERNEL void attend_kernel(const PagedWork<c10::BFloat16>& w, PagedScratch& s, c10::BFloat16* out,
                                 int64_t out_stride) {
  attend(w, s, out, out_stride);
}

template <typename T>
torch::Tensor attention_fast(const torch::Tensor& queries, const PagedBlocks& blocks, int64_t query_column,
                             const AttentionShape& shape, const PagedIndex& index, const AttentionIndex& asks) {
  const int64_t stride = shape.heads * shape.head_dim, group = shape.heads / shape.kv_heads;
  const int64_t sequences = index.block_tables.size(0), width = index.block_tables.size(1);
  torch::Tensor out = queries.new_empty({queries.size(0), stride});
  T* out_data = out.mutable_data_ptr<T>();
  const T *query_data = queries.const_data_ptr<T>() + query_column, *keys = blocks.keys.const_data_ptr<T>(),
          *values = blocks.values.const_data_ptr<T>();
  const int32_t *starts = asks.query_starts.const_data_ptr<int32_t>(),
                *positions = asks.query_positions.const_data_ptr<int32_t>(),
                *tables = index.block_tables.const_data_ptr<int32_t>();
  at::parallel_for(0, sequences * shape.kv_heads, 1, [&](int64_t begin, int64_t end) {
    PagedScratch scratch(width * kKeysPerBlock, shape.head_dim);
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
      attend_kernel(work, scratch, out_data + starts[s] * stride + head_column, stride);
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
  const int32_t *starts = index.row_starts.const_data_ptr<int32_t>(),
                *positions = index.positions.const_data_ptr<int32_t>(),
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

}  // namespace

void store_in_blocks_(const PagedBlocks& blocks, const torch::Tensor& rows, const AttentionColumns& columns,
                      const AttentionShape& shape, const PagedIndex& index) {
  TORCH_CHECK(rows.scalar_type() == blocks.keys.scalar_type() && rows.stride(1) == 1 && rows.device().is_cpu(),
              "store_in_blocks_: rows of ", rows.scalar_type(), ", blocks of ", blocks.keys.scalar_type());
  if (rows.scalar_type() == torch::kFloat32) return store_fast<float>(blocks, rows, columns, shape, index);
  if (rows.scalar_type() == torch::kBFloat16) return store_fast<c10::BFloat16>(blocks, rows, columns, shape, index);
  return store_fast<double>(blocks, rows, columns, shape, index);
}

torch::Tensor paged_attention(const torch::Tensor& queries, const PagedBlocks& blocks, int64_t query_column,
                              const AttentionShape& shape, const PagedIndex& index, const AttentionIndex& asks) {
  TORCH_CHECK(shape.heads % shape.kv_heads == 0, "paged_attention: ", shape.heads, " heads over ", shape.kv_heads);
  TORCH_CHECK(queries.scalar_type() == blocks.keys.scalar_type() && queries.stride(1) == 1,
              "paged_attention: queries of ", queries.scalar_type(), ", blocks of ", blocks.keys.scalar_type());
  if (queries.scalar_type() == torch::kFloat32)
    return attention_fast<float>(queries, blocks, query_column, shape, index, asks);
  if (queries.scalar_type() == torch::kBFloat16)
    return attention_fast<c10::BFloat16>(queries, blocks, query_column, shape, index, asks);
  return paged_attention_reference(queries, blocks, query_column, shape, index, asks);
}

torch::Tensor paged_attention_reference(const torch::Tensor& queries, const PagedBlocks& blocks, int64_t query_column,
                                        const AttentionShape& shape, const PagedIndex& index,
                                        const AttentionIndex& asks) {
  const int64_t group = shape.heads / shape.kv_heads;
  const auto type = queries.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  std::vector<torch::Tensor> outputs;
  for (int64_t s = 0; s < index.block_tables.size(0); ++s) {
    const int64_t begin = asks.query_starts[s].item<int32_t>(), end = asks.query_starts[s + 1].item<int32_t>();
    if (begin == end) continue;
    const torch::Tensor positions = asks.query_positions.narrow(0, begin, end - begin);
    const int64_t keys = positions.max().item<int32_t>() + 1;
    const torch::Tensor table = index.block_tables[s].narrow(0, 0, (keys + kKeysPerBlock - 1) / kKeysPerBlock);
    const torch::Tensor q = queries.narrow(0, begin, end - begin)
                                .narrow(1, query_column, shape.heads * shape.head_dim)
                                .reshape({end - begin, shape.heads, shape.head_dim})
                                .transpose(0, 1)
                                .to(type);  // [heads, queries, head_dim]
    const torch::Tensor k = blocks.keys.index_select(0, table)
                                .permute({1, 0, 3, 2})  // [kv_heads, blocks, kKeysPerBlock, head_dim]
                                .reshape({shape.kv_heads, -1, shape.head_dim})
                                .narrow(1, 0, keys)
                                .to(type)
                                .repeat_interleave(group, 0);
    const torch::Tensor v = blocks.values.index_select(0, table)
                                .transpose(0, 1)
                                .reshape({shape.kv_heads, -1, shape.head_dim})
                                .narrow(1, 0, keys)
                                .to(type)
                                .repeat_interleave(group, 0);
    const torch::Tensor distance = positions.unsqueeze(1) - torch::arange(keys, positions.options()).unsqueeze(0);
    torch::Tensor hidden = distance < 0;
    if (shape.window > 0) hidden = hidden.logical_or(distance >= shape.window);
    const torch::Tensor scores = (q.matmul(k.transpose(1, 2)) * shape.scale).masked_fill(hidden, -INFINITY);
    outputs.push_back(
        scores.softmax(-1).matmul(v).transpose(0, 1).reshape({end - begin, shape.heads * shape.head_dim}));
  }
  if (outputs.empty()) return queries.new_empty({0, shape.heads * shape.head_dim});
  return torch::cat(outputs).to(queries.scalar_type());
}

}  // namespace loraxs
