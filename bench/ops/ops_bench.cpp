// The fused operators beside their plain forms, on the shapes of a QNLI step of MiniLM-L6: 32 sentences of 50 tokens,
// 384 wide, 12 heads, rank 16. Items are tokens (weights for the optimizer).
#include <benchmark/benchmark.h>
#include <torch/csrc/autograd/custom_function.h>

#include "ops/adapted_linear.h"
#include "ops/attention.h"
#include "ops/frozen_gemm.h"
#include "ops/frozen_weight.h"
#include "ops/gelu.h"
#include "ops/residual_norm.h"
#include "ops/row_optimizer.h"

namespace loraxs {
namespace {

constexpr int64_t kSentences = 32, kLength = 50, kTokens = kSentences * kLength;
constexpr int64_t kHidden = 384, kInner = 1536, kHeads = 12, kRank = 16;

torch::Tensor values(at::IntArrayRef shape, torch::ScalarType dtype = torch::kFloat32) {
  return torch::randn(shape, torch::TensorOptions().dtype(torch::kFloat32)).to(dtype);
}

torch::Tensor leaf(const torch::Tensor& x) { return x.detach().clone().requires_grad_(true); }

/// Times forward alone (range 0) or forward and backward (range 1) of `f`.
template <class F>
void run(benchmark::State& state, const torch::Tensor& input, const F& f) {
  const bool backward = state.range(0) == 1;
  const torch::Tensor x = backward ? leaf(input) : input;
  torch::Tensor seed;
  for (auto _ : state) {
    torch::Tensor y = f(x);
    if (backward) {
      if (!seed.defined()) seed = torch::ones_like(y);
      y.backward(seed);
      x.mutable_grad().reset();
    }
    benchmark::DoNotOptimize(y.data_ptr());
  }
  state.SetItemsProcessed(state.iterations() * kTokens);
}

void frozen(benchmark::State& state, GemmBackend backend, torch::ScalarType dtype) {
  const torch::Tensor x = values({kTokens, kHidden}, dtype), weight = values({kInner, kHidden}, dtype);
  for (auto _ : state) benchmark::DoNotOptimize(frozen_gemm(x, weight, {}, backend).data_ptr());
  state.counters["TFLOP/s"] =
      benchmark::Counter(2e-12 * kTokens * kHidden * kInner, benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK_CAPTURE(frozen, aten_float32, GemmBackend::kAten, torch::kFloat32);
BENCHMARK_CAPTURE(frozen, onednn_float32, GemmBackend::kOneDnn, torch::kFloat32);

/// One frozen [1536, 576] matrix, SmolLM2's gate: as blocks of a type, or packed dense.
void frozen_weight(benchmark::State& state, const char* type, torch::ScalarType dtype) {
  constexpr int64_t kOut = 1536, kIn = 576;
  const auto info = find_block_type(type);
  FrozenWeight weight;
  if (info) {
    auto bytes = std::make_shared<std::vector<std::byte>>(kOut * info->row_bytes(kIn));
    weight =
        FrozenWeight::stored({{.type = info->type, .shape = {kOut, kIn}, .bytes = *bytes, .owner = bytes}}, {}, dtype);
  } else {
    weight = FrozenWeight::packed(values({kOut, kIn}, dtype), /*both_ways=*/false);
  }
  const torch::Tensor x = values({state.range(0), kIn}, dtype);
  for (auto _ : state) benchmark::DoNotOptimize(weight.forward(x, {}).data_ptr());
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK_CAPTURE(frozen_weight, packed_float32, "dense", torch::kFloat32)->Arg(1)->Arg(8)->Arg(512);
BENCHMARK_CAPTURE(frozen_weight, packed_bfloat16, "dense", torch::kBFloat16)->Arg(1)->Arg(8)->Arg(512);
BENCHMARK_CAPTURE(frozen_weight, q4_1_float32, "Q4_1", torch::kFloat32)->Arg(1)->Arg(8)->Arg(512);
BENCHMARK_CAPTURE(frozen_weight, q8_0_float32, "Q8_0", torch::kFloat32)->Arg(1)->Arg(8)->Arg(512);
BENCHMARK_CAPTURE(frozen_weight, bf16_bfloat16, "BF16", torch::kBFloat16)->Arg(1)->Arg(8)->Arg(512);

struct Attention {
  AttentionShape shape{.heads = kHeads, .kv_heads = kHeads, .head_dim = kHidden / kHeads, .scale = 0.18};
  AttentionColumns columns{.query = 0, .key = kHidden, .value = 2 * kHidden};
  AttentionIndex index;
  Dropout dropout = Dropout::make(0.1, 0, DropoutPurpose::kAttention);
  Attention() {
    std::vector<int32_t> starts;
    for (int32_t row = 0; row <= kTokens; row += kLength) starts.push_back(row);
    index.key_starts = index.query_starts = RowStarts::of(starts);
    index.query_positions = torch::arange(kTokens, torch::kInt32).remainder(kLength);
    index.dropout_keys = torch::arange(kSentences, torch::kInt64);
    index.max_queries = index.max_keys = kLength;
  }
};

template <class F>
void attention(benchmark::State& state, F f, torch::ScalarType dtype) {
  const Attention a;
  run(state, values({kTokens, 3 * kHidden}, dtype),
      [&](const torch::Tensor& x) { return f(x, x, a.columns, a.shape, a.index, a.dropout); });
}
BENCHMARK_CAPTURE(attention, fused_float32, varlen_attention, torch::kFloat32)->DenseRange(0, 1);
BENCHMARK_CAPTURE(attention, fused_bfloat16, varlen_attention, torch::kBFloat16)->DenseRange(0, 1);
BENCHMARK_CAPTURE(attention, plain_float32, varlen_attention_plain, torch::kFloat32)->DenseRange(0, 1);

template <class F>
void norm(benchmark::State& state, F f) {
  const RowKeys rows{torch::arange(kTokens, torch::kInt64), torch::arange(kTokens, torch::kInt32)};
  const Dropout dropout = Dropout::make(0.1, 0, DropoutPurpose::kMlpOutput);
  const torch::Tensor residual = values({kTokens, kHidden}), weight = values({kHidden}), bias = values({kHidden});
  run(state, values({kTokens, kHidden + kRank}),
      [&](const torch::Tensor& y) { return f(y, residual, weight, bias, 1e-12, dropout, rows); });
}
BENCHMARK_CAPTURE(norm, fused, residual_norm)->DenseRange(0, 1);
BENCHMARK_CAPTURE(norm, plain, residual_norm_plain)->DenseRange(0, 1);

template <class F>
void activation(benchmark::State& state, F f) {
  run(state, values({kTokens, kInner}), [&](const torch::Tensor& x) { return f(x, kInner); });
}
BENCHMARK_CAPTURE(activation, fused, gelu)->DenseRange(0, 1);
BENCHMARK_CAPTURE(activation, plain, gelu_plain)->DenseRange(0, 1);

/// One projection [384, 384] with its adapter: joined, and written out in ATen.
struct Projection {
  torch::Tensor w = values({kHidden, kHidden}), bias = values({kHidden}), a = values({kRank, kHidden}),
                b = values({kHidden, kRank}), bank = values({1, kRank*kRank}), gradients = torch::zeros_like(bank);
};

void adapted_fused(benchmark::State& state) {
  const Projection p;
  JoinedProjection joined{.out_features = kHidden};
  joined.weight = FrozenWeight::packed(torch::cat({p.w, p.a}), /*both_ways=*/true);
  joined.bias = torch::cat({p.bias, torch::zeros({kRank})});
  joined.sites.push_back({.column = 0,
                          .out_features = kHidden,
                          .u_column = kHidden,
                          .rank = kRank,
                          .b = p.b,
                          .b_transposed = p.b.t().contiguous()});
  const SiteParts parts{.r = {.offset = 0, .shape = {kRank, kRank}}, .rank = kRank};
  const auto segments = std::make_shared<std::vector<SegmentAdapters>>(
      std::vector<SegmentAdapters>{{.begin = 0,
                                    .end = kTokens,
                                    .row = {.values = p.bank[0], .gradients = p.gradients[0]},
                                    .table = std::make_shared<SiteTable>(SiteTable{{parts}})}});
  const torch::Tensor anchor = torch::zeros({}).requires_grad_(true);
  run(state, values({kTokens, kHidden}),
      [&](const torch::Tensor& x) { return adapted_linear(x, anchor, joined, segments); });
}
BENCHMARK(adapted_fused)->DenseRange(0, 1);

void adapted_plain(benchmark::State& state) {
  const Projection p;
  const torch::Tensor r = leaf(p.bank.view({kRank, kRank}));
  run(state, values({kTokens, kHidden}),
      [&](const torch::Tensor& x) { return adapted_linear_reference(x, p.w, p.bias, p.a, p.b, r, 1.0); });
}
BENCHMARK(adapted_plain)->DenseRange(0, 1);

void optimizer(benchmark::State& state) {
  const int64_t size = state.range(0);
  const OptimizerRows rows{values({1, size}), values({1, size}), torch::zeros({1, size}), torch::zeros({1, size})};
  const RateSegment segment{.begin = 0, .end = size, .learning_rate = 1e-3};
  int64_t step = 0;
  for (auto _ : state) adamw_step_(rows, 0, ++step, std::span(&segment, 1), {});
  state.SetItemsProcessed(state.iterations() * size);
}
BENCHMARK(optimizer)->Arg(6914)->Arg(1 << 20);

}  // namespace
}  // namespace loraxs
