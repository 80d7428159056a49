// The fused operators beside their plain forms, in float32, bfloat16 and, by finite differences, float64.
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/custom_function.h>

#include <array>
#include <functional>

#include "ops/adapted_linear.h"
#include "ops/attention.h"
#include "ops/gelu.h"
#include "ops/residual_norm.h"
#include "ops/skinny_gemm.h"
#include "ops/slot_linear.h"
#include "ops/thin_products.h"
#include "support/close.h"
#include "support/fused_operator.h"
#include "support/random_tensor.h"
#include "support/segments.h"

namespace loraxs {
namespace {

using test::close;
using test::normal;
using test::Tensors;

/// The same operator with one output.
test::Operator single(const std::function<torch::Tensor(const Tensors&)>& f) {
  return [f](const Tensors& in) { return Tensors{f(in)}; };
}

/// Outputs and gradients in bfloat16 against the plain form in float64.
void expect_bfloat_equals_plain(const std::function<torch::Tensor(const Tensors&)>& fused,
                                const std::function<torch::Tensor(const Tensors&)>& plain, const Tensors& inputs) {
  test::expect_fused_equals_plain_in(torch::kBFloat16, test::kBfloatTolerance, single(fused), single(plain), inputs);
}

torch::Tensor leaf(const torch::Tensor& x) { return x.detach().clone().requires_grad_(true); }

/// Gradients of Σ weights · f(inputs) with fixed random weights.
std::vector<torch::Tensor> gradients(const std::function<torch::Tensor(const std::vector<torch::Tensor>&)>& f,
                                     const std::vector<torch::Tensor>& inputs) {
  const torch::Tensor y = f(inputs);
  (y.to(torch::kFloat64) * normal(y.sizes(), 99, torch::kFloat64)).sum().backward();
  std::vector<torch::Tensor> result;
  for (const torch::Tensor& input : inputs) result.push_back(input.grad());
  return result;
}

/// Central differences of Σ weights · f against autograd, float64.
void check_gradient(const std::function<torch::Tensor(const std::vector<torch::Tensor>&)>& f,
                    std::vector<torch::Tensor> inputs) {
  for (torch::Tensor& input : inputs) input = leaf(input);
  const std::vector<torch::Tensor> found = gradients(f, inputs);
  torch::NoGradGuard no_grad;
  const torch::Tensor weights = normal(f(inputs).sizes(), 99, torch::kFloat64);
  const auto value = [&] { return (f(inputs) * weights).sum().item<double>(); };
  constexpr double kStep = 1e-6;
  for (size_t n = 0; n < inputs.size(); ++n) {
    double* data = inputs[n].mutable_data_ptr<double>();
    torch::Tensor expected = torch::empty_like(inputs[n]);
    double* out = expected.mutable_data_ptr<double>();
    for (int64_t i = 0; i < inputs[n].numel(); ++i) {
      const double saved = data[i];
      data[i] = saved + kStep;
      const double above = value();
      data[i] = saved - kStep;
      out[i] = (above - value()) / (2 * kStep);
      data[i] = saved;
    }
    EXPECT_TRUE(close(found[n], expected, 1e-7)) << "input " << n;
  }
}

RowKeys row_keys(int64_t rows) {
  return {torch::arange(rows, torch::kInt64) * 7919 + 13, (torch::arange(rows, torch::kInt64) % 11).to(torch::kInt32)};
}

struct AttentionCase {
  std::vector<int32_t> lengths;
  int64_t heads, kv_heads, head_dim;
  bool causal, first_only, dropout;
};

class AttentionTest : public testing::TestWithParam<AttentionCase> {
 protected:
  AttentionShape shape() const {
    const AttentionCase& c = GetParam();
    return {.heads = c.heads, .kv_heads = c.kv_heads, .head_dim = c.head_dim, .scale = 0.4, .causal = c.causal};
  }
  AttentionIndex index() const {
    const AttentionCase& c = GetParam();
    std::vector<int32_t> key_starts = {0}, query_starts = {0}, positions;
    std::vector<int64_t> keys;
    AttentionIndex index;
    for (const int32_t length : c.lengths) {
      key_starts.push_back(key_starts.back() + length);
      query_starts.push_back(query_starts.back() + (c.first_only ? 1 : length));
      for (int32_t i = 0; i < (c.first_only ? 1 : length); ++i) positions.push_back(i);
      keys.push_back(1000 + 17 * static_cast<int64_t>(keys.size()));
      index.max_keys = std::max<int64_t>(index.max_keys, length);
      index.max_queries = c.first_only ? 1 : index.max_keys;
    }
    index.key_starts = RowStarts::of(key_starts);
    index.query_starts = RowStarts::of(query_starts);
    index.query_positions = torch::tensor(positions, torch::kInt32);
    index.dropout_keys = torch::tensor(keys, torch::kInt64);
    return index;
  }
  Dropout dropout() const {
    return GetParam().dropout ? Dropout::make(0.25, 2, DropoutPurpose::kAttention) : Dropout{};
  }
  int64_t tokens() const { return index().key_starts.host.back(); }
};

TEST_P(AttentionTest, FastEqualsPlainForwardAndBackward) {
  const AttentionShape s = shape();
  const int64_t q = s.heads * s.head_dim, kv = s.kv_heads * s.head_dim;
  const AttentionIndex at = index();
  if (GetParam().first_only) {
    const torch::Tensor queries = normal({at.query_positions.size(0), q + 3}, 1),
                        keys_values = normal({tokens(), 2 * kv + 5}, 2);
    const AttentionColumns columns{.query = 0, .key = 0, .value = kv};
    const std::vector<torch::Tensor> fast = {leaf(queries), leaf(keys_values)},
                                     plain = {leaf(queries), leaf(keys_values)};
    const auto run = [&](auto f) {
      return [&, f](const std::vector<torch::Tensor>& in) { return f(in[0], in[1], columns, s, at, dropout()); };
    };
    EXPECT_TRUE(close(run(varlen_attention)(fast), run(varlen_attention_plain)(plain), 2e-6));
    const auto a = gradients(run(varlen_attention), fast), b = gradients(run(varlen_attention_plain), plain);
    EXPECT_TRUE(close(a[0], b[0], 5e-6));
    EXPECT_TRUE(close(a[1], b[1], 5e-6));
    expect_bfloat_equals_plain(run(varlen_attention), run(varlen_attention_plain), {queries, keys_values});
    return;
  }
  const AttentionColumns columns{.query = 0, .key = q, .value = q + kv}, swapped{.query = 0, .key = q + kv, .value = q};
  const torch::Tensor joined = normal({tokens(), q + 2 * kv + 4}, 3);
  const auto run = [&](auto f, const AttentionColumns& c) {
    return [&, f, c](const std::vector<torch::Tensor>& in) { return f(in[0], in[0], c, s, at, dropout()); };
  };
  const std::vector<torch::Tensor> fast = {leaf(joined)}, plain = {leaf(joined)};
  const torch::Tensor reference = run(varlen_attention_plain, columns)(plain);
  EXPECT_TRUE(close(run(varlen_attention, columns)(fast), reference, 2e-6));
  EXPECT_FALSE(close(run(varlen_attention, swapped)(fast), reference, 1e-2));  // control
  EXPECT_TRUE(close(gradients(run(varlen_attention, columns), fast)[0],
                    gradients(run(varlen_attention_plain, columns), plain)[0], 5e-6));
  expect_bfloat_equals_plain(run(varlen_attention, columns), run(varlen_attention_plain, columns), {joined});
}

class JoinedAttentionTest : public AttentionTest {};

TEST_P(JoinedAttentionTest, ResultsDoNotDependOnThreads) {
  const AttentionShape s = shape();
  const int64_t q = s.heads * s.head_dim, kv = s.kv_heads * s.head_dim;
  const AttentionIndex at = index();
  const torch::Tensor joined = normal({tokens(), q + 2 * kv}, 3);
  const AttentionColumns columns{.query = 0, .key = q, .value = q + kv};
  const int threads = at::get_num_threads();
  std::vector<torch::Tensor> results;
  for (const int count : {1, 2}) {
    at::set_num_threads(count);
    const std::vector<torch::Tensor> in = {leaf(joined)};
    results.push_back(
        gradients([&](const auto& x) { return varlen_attention(x[0], x[0], columns, s, at, dropout()); }, in)[0]);
  }
  at::set_num_threads(threads);
  EXPECT_TRUE(results[0].equal(results[1]));
}

const AttentionCase kJoined[] = {{{7, 1, 33, 140}, 3, 3, 32, false, false, false},
                                 {{7, 1, 33, 50}, 3, 3, 32, false, false, true},
                                 {{5, 40, 2}, 4, 2, 20, true, false, true},
                                 {{9, 35, 64}, 6, 2, 64, true, false, false}};
const AttentionCase kFirstOnly[] = {{{7, 1, 33}, 3, 3, 32, false, true, true}};
INSTANTIATE_TEST_SUITE_P(Joined, AttentionTest, testing::ValuesIn(kJoined));
INSTANTIATE_TEST_SUITE_P(FirstOnly, AttentionTest, testing::ValuesIn(kFirstOnly));
INSTANTIATE_TEST_SUITE_P(Joined, JoinedAttentionTest, testing::ValuesIn(kJoined));

TEST(AttentionGradientTest, PlainFormPassesFiniteDifferences) {
  const AttentionShape shape{.heads = 2, .kv_heads = 1, .head_dim = 3, .scale = 0.7, .causal = true};
  AttentionIndex index;
  index.key_starts = index.query_starts = RowStarts::of({0, 4, 7});
  index.query_positions = torch::tensor({0, 1, 2, 3, 0, 1, 2}, torch::kInt32);
  index.dropout_keys = torch::tensor({5, 6}, torch::kInt64);
  const Dropout dropout = Dropout::make(0.2, 1, DropoutPurpose::kAttention);
  check_gradient(
      [&](const auto& in) {
        return varlen_attention(in[0], in[0], {.query = 0, .key = 6, .value = 9}, shape, index, dropout);
      },
      {normal({7, 12}, 8, torch::kFloat64)});
}

TEST(ResidualNormTest, FastEqualsPlain) {
  for (const double probability : {0.0, 0.3}) {
    const Dropout dropout = Dropout::make(probability, 3, DropoutPurpose::kMlpOutput);
    const torch::Tensor y = normal({13, 40}, 1), residual = normal({13, 35}, 2), weight = normal({35}, 3),
                        bias = normal({35}, 4);
    const RowKeys rows = row_keys(13);
    const auto run = [&](auto f) {
      return
          [&, f](const std::vector<torch::Tensor>& in) { return f(in[0], in[1], weight, bias, 1e-5, dropout, rows); };
    };
    const std::vector<torch::Tensor> fast = {leaf(y), leaf(residual)}, plain = {leaf(y), leaf(residual)};
    EXPECT_TRUE(close(run(residual_norm)(fast), run(residual_norm_plain)(plain), 1e-6));
    const auto a = gradients(run(residual_norm), fast), b = gradients(run(residual_norm_plain), plain);
    EXPECT_TRUE(close(a[0], b[0], 2e-6));
    EXPECT_TRUE(close(a[1], b[1], 2e-6));
    const auto exact = [&](const Tensors& in) {
      const auto wide = torch::kFloat64;
      return residual_norm_plain(in[0], in[1], weight.to(wide), bias.to(wide), 1e-5, dropout, rows);
    };
    expect_bfloat_equals_plain(run(residual_norm), exact, {y, residual});
  }
}

TEST(ResidualNormTest, PlainFormPassesFiniteDifferences) {
  const torch::Tensor weight = normal({5}, 3, torch::kFloat64), bias = normal({5}, 4, torch::kFloat64);
  const Dropout dropout = Dropout::make(0.3, 0, DropoutPurpose::kAttentionOutput);
  const RowKeys rows = row_keys(4);
  check_gradient([&](const auto& in) { return residual_norm(in[0], in[1], weight, bias, 1e-3, dropout, rows); },
                 {normal({4, 6}, 1, torch::kFloat64), normal({4, 5}, 2, torch::kFloat64)});
}

TEST(GeluTest, FastEqualsPlain) {
  const torch::Tensor x = 3 * normal({9, 70}, 1);
  const auto run = [](auto f) { return [f](const std::vector<torch::Tensor>& in) { return f(in[0], 67); }; };
  const std::vector<torch::Tensor> fast = {leaf(x)}, plain = {leaf(x)};
  EXPECT_TRUE(close(run(gelu)(fast), run(gelu_plain)(plain), 1e-6));
  EXPECT_TRUE(close(gradients(run(gelu), fast)[0], gradients(run(gelu_plain), plain)[0], 1e-6));
  expect_bfloat_equals_plain(run(gelu), run(gelu_plain), {x});
  check_gradient([](const auto& in) { return gelu(in[0], 4); }, {normal({3, 5}, 1, torch::kFloat64)});
}

TEST(DropoutTest, MasksKeepTheRightShareAndFollowTheirKeys) {
  const RowKeys rows = row_keys(200);
  const Dropout dropout = Dropout::make(0.1, 0, DropoutPurpose::kEmbedding);
  const torch::Tensor mask = dropout_mask(dropout, rows, 384);
  EXPECT_NEAR(mask.gt(0).to(torch::kFloat64).mean().item<double>(), 0.9, 0.005);
  EXPECT_NEAR(mask.to(torch::kFloat64).mean().item<double>(), 1.0, 0.005);
  EXPECT_TRUE(apply_dropout(torch::ones({200, 384}), dropout, rows).equal(mask));
  EXPECT_FALSE(dropout_mask(Dropout::make(0.1, 1, DropoutPurpose::kEmbedding), rows, 384).equal(mask));
  EXPECT_FALSE(dropout_mask(Dropout::make(0.1, 0, DropoutPurpose::kHead), rows, 384).equal(mask));
}

/// Two adapted sites in one joined projection, two slots of different rank and rows without an adapter, one bank. W and
/// a in the compute dtype, b and the bank in float32 or wider, as models hold them.
struct JoinedFixture {
  torch::ScalarType dtype;
  JoinedProjection projection;
  torch::Tensor values, gradients;
  std::shared_ptr<const std::vector<SegmentAdapters>> segments;
  torch::Tensor w, bias, a[2], b[2];
  static constexpr int64_t kIn = 7, kOut = 6, kRank = 3, kRow = 2 * kRank * kRank;

  /// With a `dropout` the two sites are projections 0 and 3 of layer 2.
  explicit JoinedFixture(torch::ScalarType type, double dropout = 0) : dtype(type) {
    const auto row_type = type == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
    w = normal({2 * kOut, kIn}, 1, type);
    bias = normal({2 * kOut}, 2, type);
    projection.out_features = 2 * kOut;
    std::vector<torch::Tensor> rows = {w};
    for (int64_t i = 0; i < 2; ++i) {
      a[i] = normal({kRank, kIn}, 10 + i, type);
      b[i] = normal({kOut, kRank}, 20 + i, row_type);
      rows.push_back(a[i]);
      projection.sites.push_back({.column = i * kOut,
                                  .out_features = kOut,
                                  .u_column = 2 * kOut + i * kRank,
                                  .rank = kRank,
                                  .b = b[i],
                                  .b_transposed = b[i].t().contiguous(),
                                  .dropout = Dropout::of_adapter(dropout, /*layer=*/2, /*module=*/3 * i),
                                  .a = a[i].to(row_type)});
    }
    projection.weight = FrozenWeight::packed(torch::cat(rows), /*both_ways=*/true);
    projection.bias = torch::cat({bias, torch::zeros({2 * kRank}, bias.options())});
    values = normal({2, kRow}, 5, row_type);
    gradients = torch::zeros_like(values);
    segments = test::segments({segment(0, 4, 0, kRank), segment(4, 9, 1, 2)});  // rows 9.. have no adapter
  }
  SegmentAdapters segment(int64_t begin, int64_t end, int64_t adapter, int64_t rank) const {
    std::vector<SiteParts> sites;
    for (int64_t i = 0; i < 2; ++i) {
      sites.push_back({.r = {.offset = i * kRank * kRank, .shape = {rank, rank}}, .rank = rank, .divisor = 2});
    }
    return test::segment(begin, end, {.values = values[adapter], .gradients = gradients[adapter], .alpha = 1}, sites);
  }
  /// In the dtype of x.
  torch::Tensor reference(const torch::Tensor& x, const torch::Tensor& bank, const RowKeys& keys = {}) const {
    std::vector<torch::Tensor> columns;
    for (int64_t i = 0; i < 2; ++i) {
      const auto type = x.scalar_type();
      const torch::Tensor wi = w.narrow(0, i * kOut, kOut).to(type), bi = bias.narrow(0, i * kOut, kOut).to(type),
                          ai = a[i].to(type), site_b = b[i].to(type);
      const auto part = [&](int64_t begin, int64_t end, int64_t adapter, int64_t rank) {
        const torch::Tensor r =
            rank > 0 ? bank.select(0, adapter).narrow(0, i * kRank * kRank, rank * rank).view({rank, rank})
                     : torch::zeros({1, 1}, x.options());
        const int64_t used = std::max<int64_t>(rank, 1);
        const torch::Tensor mask = keys.defined()
                                       ? dropout_mask(projection.sites[i].dropout, keys.narrow(begin, end - begin), kIn)
                                       : torch::Tensor();
        return adapted_linear_reference(x.narrow(0, begin, end - begin), wi, bi, ai.narrow(0, 0, used),
                                        site_b.narrow(1, 0, used), r, 0.5, mask);
      };
      columns.push_back(torch::cat({part(0, 4, 0, kRank), part(4, 9, 1, 2), part(9, 12, 0, 0)}));
    }
    return torch::cat(columns, 1);
  }
};

TEST(AdaptedLinearTest, JoinedSitesAndSlotsEqualThePlainForm) {
  for (const auto& [dtype, tolerance] : {std::pair{torch::kFloat64, 1e-12}, std::pair{torch::kFloat32, 2e-6}}) {
    const JoinedFixture f(dtype);
    const torch::Tensor anchor = torch::zeros({}).requires_grad_(true);
    const std::vector<torch::Tensor> fused = {leaf(normal({12, JoinedFixture::kIn}, 9, dtype))};
    const std::vector<torch::Tensor> plain = {leaf(fused[0]), leaf(f.values)};
    const auto run = [&](const auto& in) {
      return adapted_linear(in[0], anchor, f.projection, f.segments).narrow(1, 0, 2 * JoinedFixture::kOut);
    };
    const auto run_plain = [&](const auto& in) { return f.reference(in[0], in[1]); };
    EXPECT_TRUE(close(run(fused), run_plain(plain), tolerance));
    const auto expected = gradients(run_plain, plain);
    EXPECT_TRUE(close(gradients(run, fused)[0], expected[0], tolerance));
    EXPECT_TRUE(close(f.gradients, expected[1], tolerance));
    EXPECT_FALSE(close(f.gradients.flip(0), expected[1], 1e-2));  // control: slots permuted
  }
}

TEST(AdaptedLinearTest, DropoutEqualsThePlainFormUnderItsMasks) {
  for (const auto& [dtype, tolerance] : {std::pair{torch::kFloat64, 1e-12}, std::pair{torch::kFloat32, 2e-6}}) {
    const JoinedFixture f(dtype, /*dropout=*/0.4);
    const RowKeys keys = row_keys(12), others = {keys.keys + 1, keys.positions};
    const torch::Tensor anchor = torch::zeros({}).requires_grad_(true);
    const std::vector<torch::Tensor> fused = {leaf(normal({12, JoinedFixture::kIn}, 9, dtype))};
    const std::vector<torch::Tensor> plain = {leaf(fused[0]), leaf(f.values)};
    const auto run_with = [&](const RowKeys& rows) {
      return [&, rows](const auto& in) {
        return adapted_linear(in[0], anchor, f.projection, f.segments, {}, rows).narrow(1, 0, 2 * JoinedFixture::kOut);
      };
    };
    const auto run = run_with(keys);
    const auto run_plain = [&](const auto& in) { return f.reference(in[0], in[1], keys); };
    EXPECT_TRUE(close(run(fused), run_plain(plain), tolerance));
    EXPECT_FALSE(close(run_with(others)(fused), run_plain(plain), 1e-2));     // control: other masks
    EXPECT_FALSE(close(run_with(RowKeys{})(fused), run_plain(plain), 1e-2));  // control: none
    const auto expected = gradients(run_plain, plain);
    EXPECT_TRUE(close(gradients(run, fused)[0], expected[0], tolerance));
    EXPECT_TRUE(close(f.gradients, expected[1], tolerance));
    EXPECT_FALSE(close(f.gradients.flip(0), expected[1], 1e-2));  // control: slots permuted
    if (dtype == torch::kFloat64) check_gradient(run, {fused[0].detach()});
    const torch::Tensor first = dropout_mask(f.projection.sites[0].dropout, keys, 64);
    EXPECT_FALSE(first.equal(dropout_mask(f.projection.sites[1].dropout, keys, 64)));  // a mask per site
  }
}

TEST(AdaptedLinearTest, DropoutOfProbabilityZeroChangesNoBit) {
  const JoinedFixture with(torch::kFloat32, /*dropout=*/0), without(torch::kFloat32);
  const torch::Tensor anchor = torch::zeros({}).requires_grad_(true);
  const torch::Tensor x = normal({12, JoinedFixture::kIn}, 9, torch::kFloat32);
  const auto run = [&](const JoinedFixture& f, const RowKeys& keys) {
    const std::vector<torch::Tensor> in = {leaf(x)};
    return gradients([&](const auto& i) { return adapted_linear(i[0], anchor, f.projection, f.segments, {}, keys); },
                     in)[0];
  };
  EXPECT_TRUE(run(with, row_keys(12)).equal(run(without, {})));
  EXPECT_TRUE(with.gradients.equal(without.gradients));
}

/// LoRA's own a and b in a row, under dropout: outputs, dx, da and db against autograd on the dense form.
TEST(AdaptedLinearTest, DropoutBeforeATrainedAEqualsThePlainForm) {
  constexpr int64_t kRows = 9, kIn = 7, kOut = 6, kRank = 3;
  const auto type = torch::kFloat64;
  const torch::Tensor w = normal({kOut, kIn}, 1, type), values = normal({1, kRank * (kIn + kOut)}, 2, type);
  const torch::Tensor row_gradients = torch::zeros_like(values);
  const Dropout dropout = Dropout::of_adapter(0.4, 1, 2);
  const RowKeys keys = row_keys(kRows);
  const JoinedProjection projection{
      .weight = FrozenWeight::packed(w, /*both_ways=*/true),
      .out_features = kOut,
      .sites = {{.column = 0, .out_features = kOut, .u_column = kOut, .dropout = dropout}}};
  const SiteParts own{.a = {.offset = 0, .shape = {kRank, kIn}},
                      .b = {.offset = kRank * kIn, .shape = {kOut, kRank}},
                      .rank = kRank,
                      .divisor = 2};
  const auto segments = test::segments(
      {test::segment(0, kRows, {.values = values[0], .gradients = row_gradients[0], .alpha = 1}, {own})});
  const torch::Tensor anchor = torch::zeros({}).requires_grad_(true);
  const std::vector<torch::Tensor> fused = {leaf(normal({kRows, kIn}, 3, type))};
  const std::vector<torch::Tensor> plain = {leaf(fused[0]), leaf(values)};
  const auto run = [&](const auto& in) { return adapted_linear(in[0], anchor, projection, segments, {}, keys); };
  const auto run_plain = [&](const auto& in) {
    const torch::Tensor own_a = in[1].view({-1}).narrow(0, 0, kRank * kIn).view({kRank, kIn}),
                        own_b = in[1].view({-1}).narrow(0, kRank * kIn, kOut * kRank).view({kOut, kRank});
    return adapted_linear_reference(in[0], w, torch::zeros({kOut}, type), own_a, own_b, torch::eye(kRank, type), 0.5,
                                    dropout_mask(dropout, keys, kIn));
  };
  EXPECT_TRUE(close(run(fused), run_plain(plain), 1e-12));
  const auto expected = gradients(run_plain, plain);
  EXPECT_TRUE(close(gradients(run, fused)[0], expected[0], 1e-12));
  EXPECT_TRUE(close(row_gradients, expected[1], 1e-12));
  EXPECT_FALSE(close(row_gradients, 1.02 * expected[1], 1e-3));  // control
}

TEST(AdaptedLinearTest, BfloatOutputsAndGradientsEqualThePlainForm) {
  const JoinedFixture f(torch::kBFloat16);
  const torch::Tensor anchor = torch::zeros({}).requires_grad_(true);
  const torch::Tensor x = normal({12, JoinedFixture::kIn}, 9, torch::kBFloat16);
  const Tensors found = test::outputs_and_gradients(
      [&](const Tensors& in) {
        return Tensors{adapted_linear(in[0], anchor, f.projection, f.segments).narrow(1, 0, 2 * JoinedFixture::kOut)};
      },
      {x});
  const Tensors expected =
      test::outputs_and_gradients([&](const Tensors& in) { return Tensors{f.reference(in[0], in[1])}; },
                                  {x.to(torch::kFloat64), f.values.to(torch::kFloat64)});
  // y: u = x aᵀ and y are rounded; dx: what comes in, v R and dx; of R: what comes in and u.
  EXPECT_TRUE(close(found[0], expected[0], test::kBfloatTolerance));
  EXPECT_TRUE(close(found[1], expected[1], test::kBfloatTolerance));
  EXPECT_TRUE(close(f.gradients, expected[2], test::kBfloatTolerance));
  EXPECT_FALSE(close(f.gradients * 1.02, expected[2], test::kBfloatTolerance));   // control
  EXPECT_FALSE(close(f.gradients.flip(0), expected[2], test::kBfloatTolerance));  // control: slots permuted
  EXPECT_FALSE(close(found[1].flip(0), expected[1], test::kBfloatTolerance));     // control
}

TEST(SkinnyGemmTest, SplittingTheSumGivesTheSameBits) {
  for (const int64_t n : {1, 4, 8, 16, 25, 64}) {
    const torch::Tensor a = normal({29, 50}, 1), b = normal({50, n}, 2);
    torch::Tensor whole = torch::zeros({29, n}), parts = torch::zeros({29, n});
    skinny_gemm_(whole, a, b, 0.5, true);
    skinny_gemm_(parts, a.narrow(1, 0, 20), b.narrow(0, 0, 20), 0.5, true);
    skinny_gemm_(parts, a.narrow(1, 20, 30), b.narrow(0, 20, 30), 0.5, true);
    EXPECT_TRUE(whole.equal(parts)) << n;
    EXPECT_TRUE(close(whole, 0.5 * a.matmul(b), 1e-6)) << n;
  }
}

TEST(ThinProductsTest, EqualMatmulAtEveryRemainder) {
  for (const int64_t k : {1, 3, 4, 9}) {
    for (const int64_t m : {1, 2, 7, 40}) {
      for (const int64_t n : {1, 5, 600}) {
        const torch::Tensor x = normal({k, n}, 1, torch::kFloat64), a = normal({m, n}, 2, torch::kFloat64),
                            c = normal({k, m}, 3, torch::kFloat64), y = normal({k, n}, 4, torch::kFloat64);
        EXPECT_TRUE(close(times_rows(x, a), x.matmul(a.t()), 1e-14));
        const torch::Tensor expected = y - 0.5 * c.matmul(a);
        add_combined_rows_(y, -0.5, c, a);
        EXPECT_TRUE(close(y, expected, 1e-14));
      }
    }
  }
}

TEST(SlotLinearTest, SegmentsOfEveryWidthEqualEachAlone) {
  const torch::Tensor values = normal({3, 40}, 1), x = normal({9, 7}, 2),
                      anchor = torch::zeros({}).requires_grad_(true);
  const auto run = [&](const std::vector<int64_t>& slots, int64_t columns) {
    constexpr int64_t kRows = 3, kIn = 7;
    const torch::Tensor bank_gradients = torch::zeros_like(values);
    std::vector<SlotLinearSegment> segments;
    for (const int64_t slot : slots) {
      const int64_t width = std::array{2, 5, 1}[slot], begin = static_cast<int64_t>(segments.size()) * kRows;
      const auto tensor = [&](int64_t offset, std::vector<int64_t> shape) {
        return RowTensor({.values = values[slot], .gradients = bank_gradients[slot]},
                         {.offset = offset, .shape = std::move(shape)});
      };
      segments.push_back({begin, begin + kRows, tensor(0, {width, kIn}), tensor(width * kIn, {width})});
    }
    const torch::Tensor input = leaf(x.narrow(0, slots.front() * kRows, segments.back().end));
    const torch::Tensor y = slot_linear(input, anchor, segments, columns);
    y.backward(torch::ones_like(y));  // what flows into columns past a segment's own goes nowhere
    return std::array{y.detach(), input.grad(), bank_gradients};
  };
  const auto [y, dx, gradients] = run({0, 1, 2}, 5);
  for (int64_t slot = 0; slot < 3; ++slot) {
    const int64_t width = std::array{2, 5, 1}[slot];
    const auto [alone, alone_dx, alone_gradients] = run({slot}, width);
    EXPECT_TRUE(y.narrow(0, 3 * slot, 3).narrow(1, 0, width).equal(alone));
    EXPECT_EQ(y.narrow(0, 3 * slot, 3).narrow(1, width, 5 - width).count_nonzero().item<int64_t>(), 0);
    EXPECT_TRUE(dx.narrow(0, 3 * slot, 3).equal(alone_dx));
    EXPECT_TRUE(gradients[slot].equal(alone_gradients[slot]));
  }
  EXPECT_THROW(run({0, 1, 2}, 3), c10::Error);
}

TEST(SlotLinearTest, EachSegmentHasItsOwnWeight) {
  const torch::Tensor values = normal({2, 8}, 1, torch::kFloat64), bank_gradients = torch::zeros_like(values);
  const auto tensor = [&](int64_t adapter, int64_t offset, std::vector<int64_t> shape) {
    return RowTensor({.values = values[adapter], .gradients = bank_gradients[adapter]},
                     {.offset = offset, .shape = std::move(shape)});
  };
  const std::vector<SlotLinearSegment> segments = {{0, 3, tensor(0, 0, {2, 3}), tensor(0, 6, {2})},
                                                   {3, 5, tensor(1, 0, {2, 3}), tensor(1, 6, {2})}};
  const torch::Tensor anchor = torch::zeros({}).requires_grad_(true);
  const std::vector<torch::Tensor> fused = {leaf(normal({5, 3}, 2, torch::kFloat64))},
                                   plain = {leaf(fused[0]), leaf(values)};
  const auto run = [&](const auto& in) { return slot_linear(in[0], anchor, segments, 2); };
  const auto run_plain = [](const auto& in) {
    const auto part = [&](int64_t begin, int64_t end, int64_t adapter) {
      const torch::Tensor row = in[1].select(0, adapter);
      return in[0].narrow(0, begin, end - begin).matmul(row.narrow(0, 0, 6).view({2, 3}).t()) + row.narrow(0, 6, 2);
    };
    return torch::cat({part(0, 3, 0), part(3, 5, 1)});
  };
  EXPECT_TRUE(close(run(fused), run_plain(plain), 1e-13));
  const auto expected = gradients(run_plain, plain);
  EXPECT_TRUE(close(gradients(run, fused)[0], expected[0], 1e-13));
  EXPECT_TRUE(close(bank_gradients, expected[1], 1e-13));
}

}  // namespace
}  // namespace loraxs
