#include "ops/attention.h"

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "ops/cpu_kernels.h"
#include "ops/simd.h"
#include "ops/softmax_row.h"

namespace loraxs {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kQueryBlock = 32;  // queries whose scores stand in the scratch at once

/// Everything of one (sequence, key/value head) that the kernels need, without tensors.
template <typename T>
struct Work {
  const T *query, *key, *value;  // first row of the sequence, at the head's column; query: first head of the group
  int64_t query_stride, key_stride;
  int64_t num_queries, num_keys, head_dim;
  const int32_t* query_positions;
  float scale;
  bool causal;
  int64_t window;
  uint64_t dropout_key;
  uint32_t threshold;
  float dropout_scale;
  int64_t group, first_head;  // query heads that share the key/value head
};

/// Scratch of one thread, float32; sizes for the longest sequence of the batch.
struct Scratch {
  int64_t keys, dim;                                                          // padded to the vector width
  std::vector<float> key_transposed, value_rows, key_rows, value_transposed;  // [dim, keys] / [keys, dim]
  std::vector<float> queries, scores, gradient, d_scores, out, d_key, d_value;
  std::vector<uint16_t> lanes;

  Scratch(int64_t max_keys, int64_t head_dim, bool backward)
      : keys(simd::padded(max_keys)), dim(simd::padded(head_dim)) {
    key_transposed.assign(dim * keys, 0);
    value_rows.assign(keys * dim, 0);
    queries.assign(kQueryBlock * dim, 0);
    scores.assign(kQueryBlock * keys, 0);
    out.assign(kQueryBlock * dim, 0);
    lanes.assign(kQueryBlock * simd::lanes_size(keys), 0);
    if (!backward) return;
    key_rows.assign(keys * dim, 0);
    value_transposed.assign(dim * keys, 0);
    gradient.assign(kQueryBlock * dim, 0);
    d_scores.assign(kQueryBlock * keys, 0);
    d_key.assign(keys * dim, 0);
    d_value.assign(keys * dim, 0);
  }
};

template <typename T>
LORAXS_INLINE void copy_rows(float* to, int64_t to_stride, const T* from, int64_t from_stride, int64_t rows,
                             int64_t columns, float scale) {
  for (int64_t r = 0; r < rows; ++r) {
#pragma omp simd
    for (int64_t c = 0; c < columns; ++c) to[r * to_stride + c] = simd::widen(from + r * from_stride + c) * scale;
    for (int64_t c = columns; c < to_stride; ++c) to[r * to_stride + c] = 0;
  }
}

template <typename T>
LORAXS_INLINE void copy_transposed(float* to, int64_t to_stride, const T* from, int64_t from_stride, int64_t rows,
                                   int64_t columns) {
  for (int64_t c = 0; c < columns; ++c) {
    for (int64_t r = 0; r < rows; ++r) to[c * to_stride + r] = simd::widen(from + r * from_stride + c);
    for (int64_t r = rows; r < to_stride; ++r) to[c * to_stride + r] = 0;
  }
}

/// Keys [begin, end) of the sequence.
struct KeySpan {
  int64_t begin, end;
  int64_t size() const { return end - begin; }
};

template <typename T>
LORAXS_INLINE KeySpan keys_of_query(const Work<T>& w, int64_t query) {
  if (!w.causal) return {0, w.num_keys};
  const int64_t position = w.query_positions[query], end = position + 1 < w.num_keys ? position + 1 : w.num_keys;
  return {w.window > 0 && position + 1 > w.window ? position + 1 - w.window : 0, end};
}

/// Keys that any query of a block sees; positions rise within a sequence. Starts at a multiple of the vector width.
template <typename T>
LORAXS_INLINE KeySpan keys_of_block(const Work<T>& w, int64_t first, int64_t count) {
  const int64_t begin = keys_of_query(w, first).begin, end = keys_of_query(w, first + count - 1).end;
  return {begin / simd::kWidth * simd::kWidth, end};
}

/// Probabilities of a block of queries in s.scores [count, span], rows `keys` apart; padded and masked keys are 0.
template <typename T>
LORAXS_INLINE void probabilities(const Work<T>& w, Scratch& s, int64_t first, int64_t count, int64_t keys,
                                 const KeySpan& span) {
  const int64_t columns = simd::padded(span.size());
  simd::gemm_rows(s.scores.data(), keys, s.queries.data(), s.dim, int64_t{1}, s.key_transposed.data() + span.begin,
                  keys, 0, count, columns, w.head_dim, 1.0F, false);
  for (int64_t i = 0; i < count; ++i) {
    float* row = s.scores.data() + i * keys;
    const KeySpan visible = keys_of_query(w, first + i);
    const int64_t begin = visible.begin - span.begin, end = visible.end - span.begin;
    simd::softmax_row(row, begin, end, columns);
  }
}

/// Draws the lanes of a block: keys [0, span.end) of every query.
template <typename T>
LORAXS_INLINE void draw_lanes(const Work<T>& w, Scratch& s, int64_t head, int64_t first, int64_t count, int64_t keys,
                              const KeySpan& span) {
  const int64_t stride = simd::lanes_size(keys);
  for (int64_t i = 0; i < count; ++i) {
    simd::dropout_lanes(w.dropout_key, static_cast<uint32_t>(w.query_positions[first + i]), static_cast<uint32_t>(head),
                        span.end, s.lanes.data() + i * stride);
  }
}

/// Applies them to `values` [count, span], rows `keys` apart.
LORAXS_INLINE void apply_lanes(float* values, const uint16_t* lanes, int64_t count, int64_t keys, const KeySpan& span,
                               uint32_t threshold, float scale) {
  const int64_t stride = simd::lanes_size(keys);
  for (int64_t i = 0; i < count; ++i) {
    float* row = values + i * keys;
    const uint16_t* lane = lanes + i * stride + span.begin;
#pragma omp simd
    for (int64_t j = 0; j < span.size(); ++j) row[j] = lane[j] >= threshold ? row[j] * scale : 0.0F;
  }
}

template <typename T>
LORAXS_INLINE void attention_forward(const Work<T>& w, Scratch& s, T* out, int64_t out_stride) {
  const int64_t keys = simd::padded(w.num_keys);
  copy_transposed(s.key_transposed.data(), keys, w.key, w.key_stride, w.num_keys, w.head_dim);
  copy_rows(s.value_rows.data(), s.dim, w.value, w.key_stride, w.num_keys, w.head_dim, 1.0F);
  for (int64_t h = 0; h < w.group; ++h) {
    for (int64_t first = 0; first < w.num_queries; first += kQueryBlock) {
      const int64_t count = std::min(kQueryBlock, w.num_queries - first);
      copy_rows(s.queries.data(), s.dim, w.query + first * w.query_stride + h * w.head_dim, w.query_stride, count,
                w.head_dim, w.scale);
      const KeySpan span = keys_of_block(w, first, count);
      probabilities(w, s, first, count, keys, span);
      if (w.threshold > 0) {
        draw_lanes(w, s, w.first_head + h, first, count, keys, span);
        apply_lanes(s.scores.data(), s.lanes.data(), count, keys, span, w.threshold, w.dropout_scale);
      }
      simd::gemm_rows(s.out.data(), s.dim, s.scores.data(), keys, int64_t{1}, s.value_rows.data() + span.begin * s.dim,
                      s.dim, 0, count, s.dim, span.size(), 1.0F, false);
      for (int64_t i = 0; i < count; ++i) {
#pragma omp simd
        for (int64_t c = 0; c < w.head_dim; ++c) {
          simd::narrow(out + (first + i) * out_stride + h * w.head_dim + c, s.out[i * s.dim + c]);
        }
      }
    }
  }
}

// With P the probabilities, M the mask times its scale, P' = P ∘ M:
//   dV += P'ᵀ dO,  dP = (dO Vᵀ) ∘ M,  dS = P ∘ (dP − rowsum(dP ∘ P)),  dQ = scale · dS K,  dK += dSᵀ (scale · Q)
template <typename T>
LORAXS_INLINE void attention_backward(const Work<T>& w, Scratch& s, const T* d_out, int64_t out_stride, T* d_query,
                                      T* d_key, T* d_value, int64_t d_query_stride, int64_t d_key_stride) {
  const int64_t keys = simd::padded(w.num_keys);
  copy_transposed(s.key_transposed.data(), keys, w.key, w.key_stride, w.num_keys, w.head_dim);
  copy_transposed(s.value_transposed.data(), keys, w.value, w.key_stride, w.num_keys, w.head_dim);
  copy_rows(s.key_rows.data(), s.dim, w.key, w.key_stride, w.num_keys, w.head_dim, 1.0F);
  std::fill_n(s.d_key.data(), w.num_keys * s.dim, 0.0F);
  std::fill_n(s.d_value.data(), w.num_keys * s.dim, 0.0F);
  for (int64_t h = 0; h < w.group; ++h) {
    for (int64_t first = 0; first < w.num_queries; first += kQueryBlock) {
      const int64_t count = std::min(kQueryBlock, w.num_queries - first);
      copy_rows(s.queries.data(), s.dim, w.query + first * w.query_stride + h * w.head_dim, w.query_stride, count,
                w.head_dim, w.scale);
      copy_rows(s.gradient.data(), s.dim, d_out + first * out_stride + h * w.head_dim, out_stride, count, w.head_dim,
                1.0F);
      const KeySpan span = keys_of_block(w, first, count);
      probabilities(w, s, first, count, keys, span);
      simd::gemm_rows(s.d_scores.data(), keys, s.gradient.data(), s.dim, int64_t{1},
                      s.value_transposed.data() + span.begin, keys, 0, count, simd::padded(span.size()), w.head_dim,
                      1.0F, false);
      if (w.threshold > 0) {
        draw_lanes(w, s, w.first_head + h, first, count, keys, span);
        apply_lanes(s.d_scores.data(), s.lanes.data(), count, keys, span, w.threshold, w.dropout_scale);
      }
      for (int64_t i = 0; i < count; ++i) {
        float *row = s.d_scores.data() + i * keys, *p = s.scores.data() + i * keys;
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t j = 0; j < span.size(); ++j) sum += row[j] * p[j];
#pragma omp simd
        for (int64_t j = 0; j < span.size(); ++j) row[j] = p[j] * (row[j] - sum);
      }
      simd::gemm_rows(s.out.data(), s.dim, s.d_scores.data(), keys, int64_t{1}, s.key_rows.data() + span.begin * s.dim,
                      s.dim, 0, count, s.dim, span.size(), w.scale, false);
      for (int64_t i = 0; i < count; ++i) {
#pragma omp simd
        for (int64_t c = 0; c < w.head_dim; ++c) {
          simd::narrow(d_query + (first + i) * d_query_stride + h * w.head_dim + c, s.out[i * s.dim + c]);
        }
      }
      simd::gemm_rows(s.d_key.data() + span.begin * s.dim, s.dim, s.d_scores.data(), int64_t{1}, keys, s.queries.data(),
                      s.dim, 0, span.size(), s.dim, count, 1.0F, true);
      if (w.threshold > 0) {
        apply_lanes(s.scores.data(), s.lanes.data(), count, keys, span, w.threshold, w.dropout_scale);
      }
      simd::gemm_rows(s.d_value.data() + span.begin * s.dim, s.dim, s.scores.data(), int64_t{1}, keys,
                      s.gradient.data(), s.dim, 0, span.size(), s.dim, count, 1.0F, true);
    }
  }
  for (int64_t j = 0; j < w.num_keys; ++j) {
#pragma omp simd
    for (int64_t c = 0; c < w.head_dim; ++c) {
      simd::narrow(d_key + j * d_key_stride + c, s.d_key[j * s.dim + c]);
      simd::narrow(d_value + j * d_key_stride + c, s.d_value[j * s.dim + c]);
    }
  }
}

struct AttentionCall : torch::CustomClassHolder {
  AttentionColumns columns;
  AttentionShape shape;
  AttentionIndex index;
  Dropout dropout;
  bool joined = false;

  int64_t sequences() const { return index.key_starts.sequences(); }

  template <typename T>
  Work<T> work(const torch::Tensor& queries, const torch::Tensor& keys_values, int64_t sequence,
               int64_t kv_head) const {
    const int64_t group = shape.heads / shape.kv_heads, first_query = index.query_starts.host[sequence],
                  first_key = index.key_starts.host[sequence];
    const T *q = queries.const_data_ptr<T>(), *kv = keys_values.const_data_ptr<T>();
    Work<T> w{};
    w.query_stride = queries.stride(0);
    w.key_stride = keys_values.stride(0);
    w.query = q + first_query * w.query_stride + columns.query + kv_head * group * shape.head_dim;
    w.key = kv + first_key * w.key_stride + columns.key + kv_head * shape.head_dim;
    w.value = kv + first_key * w.key_stride + columns.value + kv_head * shape.head_dim;
    w.num_queries = index.query_starts.count(sequence);
    w.num_keys = index.key_starts.count(sequence);
    w.head_dim = shape.head_dim;
    w.query_positions = index.query_positions.const_data_ptr<int32_t>() + first_query;
    w.scale = static_cast<float>(shape.scale);
    w.causal = shape.causal;
    w.window = shape.window;
    w.threshold = dropout.threshold;
    if (dropout.active()) {
      w.dropout_key = dropout.key(static_cast<uint64_t>(index.dropout_keys.const_data_ptr<int64_t>()[sequence]));
      w.dropout_scale = static_cast<float>(dropout.scale());
    }
    w.group = group;
    w.first_head = kv_head * group;
    return w;
  }
};

template <typename T>
torch::Tensor forward_fast(const AttentionCall& call, const torch::Tensor& queries, const torch::Tensor& keys_values) {
  const AttentionShape& shape = call.shape;
  const int64_t stride = shape.heads * shape.head_dim, group = shape.heads / shape.kv_heads;
  torch::Tensor out = queries.new_empty({queries.size(0), stride});
  T* out_data = out.mutable_data_ptr<T>();
  const int32_t* query_starts = call.index.query_starts.host.data();
  at::parallel_for(0, call.sequences() * shape.kv_heads, 1, [&](int64_t begin, int64_t end) {
    Scratch scratch(call.index.max_keys, shape.head_dim, /*backward=*/false);
    for (int64_t task = begin; task < end; ++task) {
      const int64_t sequence = task / shape.kv_heads, kv_head = task % shape.kv_heads;
      T* rows = out_data + query_starts[sequence] * stride + kv_head * group * shape.head_dim;
      simd::kernel<attention_forward<T>>(call.work<T>(queries, keys_values, sequence, kv_head), scratch, rows, stride);
    }
  });
  return out;
}

/// Zeros in the columns of `buffer` [rows, width] from `used` on: the adapted projection before fills them.
void zero_columns_from(const torch::Tensor& buffer, int64_t used) {
  if (used < buffer.size(1)) buffer.narrow(1, used, buffer.size(1) - used).zero_();
}

template <typename T>
variable_list backward_fast(const AttentionCall& call, const torch::Tensor& queries, const torch::Tensor& keys_values,
                            const torch::Tensor& d_out) {
  const AttentionShape& shape = call.shape;
  const AttentionColumns& columns = call.columns;
  const int64_t stride = shape.heads * shape.head_dim, kv_width = shape.kv_heads * shape.head_dim;
  const int64_t group = shape.heads / shape.kv_heads;
  torch::Tensor d_keys_values = keys_values.new_empty(keys_values.sizes());
  torch::Tensor d_queries = call.joined ? d_keys_values : queries.new_empty(queries.sizes());
  const int64_t key_end = std::max(columns.key, columns.value) + kv_width;
  zero_columns_from(d_keys_values, call.joined ? std::max(key_end, columns.query + stride) : key_end);
  if (!call.joined) zero_columns_from(d_queries, columns.query + stride);
  T *dq = d_queries.mutable_data_ptr<T>(), *dkv = d_keys_values.mutable_data_ptr<T>();
  const T* d_out_data = d_out.const_data_ptr<T>();
  const int64_t dq_stride = d_queries.stride(0), dkv_stride = d_keys_values.stride(0);
  const int32_t *query_starts = call.index.query_starts.host.data(), *key_starts = call.index.key_starts.host.data();
  at::parallel_for(0, call.sequences() * shape.kv_heads, 1, [&](int64_t begin, int64_t end) {
    Scratch scratch(call.index.max_keys, shape.head_dim, /*backward=*/true);
    for (int64_t task = begin; task < end; ++task) {
      const int64_t sequence = task / shape.kv_heads, kv_head = task % shape.kv_heads;
      const int64_t first_query = query_starts[sequence], first_key = key_starts[sequence];
      const int64_t query_column = kv_head * group * shape.head_dim, key_column = kv_head * shape.head_dim;
      simd::kernel<attention_backward<T>>(call.work<T>(queries, keys_values, sequence, kv_head), scratch,
                                          d_out_data + first_query * stride + query_column, stride,
                                          dq + first_query * dq_stride + columns.query + query_column,
                                          dkv + first_key * dkv_stride + columns.key + key_column,
                                          dkv + first_key * dkv_stride + columns.value + key_column, dq_stride,
                                          dkv_stride);
    }
  });
  if (call.joined) return {d_keys_values, {}, {}};
  return {d_queries, d_keys_values, {}};
}

class VarlenAttention : public torch::autograd::Function<VarlenAttention> {
 public:
  static torch::Tensor forward(AutogradContext* ctx, const torch::Tensor& queries, const torch::Tensor& keys_values,
                               const c10::intrusive_ptr<AttentionCall>& call) {
    ctx->save_for_backward({queries, keys_values});
    ctx->saved_data["call"] = c10::IValue::make_capsule(call);
    return queries.scalar_type() == torch::kFloat32 ? forward_fast<float>(*call, queries, keys_values)
                                                    : forward_fast<c10::BFloat16>(*call, queries, keys_values);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    torch::NoGradGuard no_grad;
    const auto call = c10::static_intrusive_pointer_cast<AttentionCall>(ctx->saved_data["call"].toCapsule());
    const auto saved = ctx->get_saved_variables();
    const torch::Tensor d_out = grads[0].contiguous();
    return saved[0].scalar_type() == torch::kFloat32 ? backward_fast<float>(*call, saved[0], saved[1], d_out)
                                                     : backward_fast<c10::BFloat16>(*call, saved[0], saved[1], d_out);
  }
};

}  // namespace

torch::Tensor varlen_attention(const torch::Tensor& queries, const torch::Tensor& keys_values,
                               const AttentionColumns& columns, const AttentionShape& shape,
                               const AttentionIndex& index, const Dropout& dropout) {
  TORCH_CHECK(shape.heads % shape.kv_heads == 0, "varlen_attention: ", shape.heads, " heads over ", shape.kv_heads);
  if (!on_cpu_kernels(queries, keys_values, index.query_positions, index.dropout_keys) || keys_values.stride(1) != 1) {
    return varlen_attention_plain(queries, keys_values, columns, shape, index, dropout);
  }
  auto call = c10::make_intrusive<AttentionCall>();
  call->columns = columns;
  call->shape = shape;
  call->index = index;
  call->dropout = dropout;
  call->joined = queries.is_same(keys_values);
  return VarlenAttention::apply(queries, keys_values, call);
}

}  // namespace loraxs
