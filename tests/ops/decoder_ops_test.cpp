// The fused operators of decoders beside their plain forms, in float32 and bfloat16; shapes that no vector width
// divides.
#include <gtest/gtest.h>
#include <torch/csrc/autograd/custom_function.h>

#include "ops/attention.h"
#include "ops/cross_entropy.h"
#include "ops/frozen_gemm.h"
#include "ops/gated_mlp.h"
#include "ops/rms_norm.h"
#include "ops/rotary.h"
#include "support/close.h"
#include "support/fused_operator.h"
#include "support/random_tensor.h"

namespace loraxs {
namespace {

using test::close;
using test::expect_fused_equals_plain;
using test::normal;
using test::outputs_and_gradients;
using test::Tensors;

TEST(RmsNormTest, FastEqualsPlain) {
  const torch::Tensor weight = 1 + 0.2 * normal({37}, 1);
  expect_fused_equals_plain(
      [&](const Tensors& in) { return Tensors{rms_norm(in[0], weight, 3e-3, in[0].scalar_type())}; },
      [&](const Tensors& in) {
        return Tensors{rms_norm_plain(in[0], weight.to(torch::kFloat64), 3e-3, torch::kFloat64)};
      },
      {normal({11, 37}, 2)});
}

TEST(RmsNormTest, ResidualFormEqualsPlainAndLeavesFurtherColumnsAlone) {
  const torch::Tensor weight = 1 + 0.2 * normal({37}, 1);
  const auto pair = [](const std::pair<torch::Tensor, torch::Tensor>& p) { return Tensors{p.first, p.second}; };
  expect_fused_equals_plain(
      [&](const Tensors& in) { return pair(residual_rms_norm(in[0], in[1], weight, 3e-3)); },
      [&](const Tensors& in) { return pair(residual_rms_norm_plain(in[0], in[1], weight.to(torch::kFloat64), 3e-3)); },
      {normal({11, 37 + 5}, 2), normal({11, 37}, 3)});
}

TEST(RmsNormTest, FloatResidualBesideBfloatProjectionsKeepsItsDigits) {
  const torch::Tensor weight = 1 + 0.2 * normal({37}, 1), residual = normal({11, 37}, 3);
  const torch::Tensor y = normal({11, 37 + 5}, 2).to(torch::kBFloat16);
  const torch::NoGradGuard no_grad;
  const auto [sum, normed] = residual_rms_norm(y, residual, weight, 3e-3);
  const torch::Tensor exact = residual + y.narrow(1, 0, 37).to(torch::kFloat32);
  EXPECT_TRUE(sum.equal(exact));
  EXPECT_FALSE(close(sum.to(torch::kBFloat16), exact, 1e-4));  // control
  const torch::Tensor expected = rms_norm(exact, weight, 3e-3, torch::kFloat32);
  EXPECT_EQ(normed.scalar_type(), torch::kBFloat16);
  EXPECT_TRUE(close(normed, expected, 4e-3));
  EXPECT_TRUE(normed.equal(rms_norm(exact, weight, 3e-3, torch::kBFloat16)));
  const torch::AutoGradMode with_grad(true);
  EXPECT_THROW(rms_norm(exact.clone().requires_grad_(true), weight, 3e-3, torch::kBFloat16), c10::Error);
}

TEST(RmsNormTest, HeadFormEqualsPlainAndLeavesFurtherColumnsAlone) {
  const torch::Tensor weights = 1 + 0.2 * normal({3, 10}, 1);  // three heads of ten, each its own
  const torch::Tensor x = normal({13, 3 * 10 + 7}, 2);
  expect_fused_equals_plain(
      [&](const Tensors& in) { return Tensors{head_rms_norm_(in[0] * 2, weights, 3e-3)}; },
      [&](const Tensors& in) { return Tensors{head_rms_norm_plain(in[0] * 2, weights.to(torch::kFloat64), 3e-3)}; },
      {x});
  const torch::Tensor normed = head_rms_norm_(x.clone(), weights, 3e-3);
  EXPECT_TRUE(normed.narrow(1, 30, 7).equal(x.narrow(1, 30, 7)));
  EXPECT_TRUE(close(normed.narrow(1, 10, 10),
                    rms_norm(x.narrow(1, 10, 10).contiguous(), weights[1], 3e-3, torch::kFloat32), 1e-6));
  EXPECT_FALSE(close(normed.narrow(1, 10, 10),
                     rms_norm(x.narrow(1, 10, 10).contiguous(), weights[0], 3e-3, torch::kFloat32), 1e-3));
}

TEST(RotaryTest, FastEqualsPlainAndTurnsNothingElse) {
  const torch::Tensor frequencies = (torch::arange(5) * -0.8).exp();
  const RotaryAngles angles = rotary_angles(torch::arange(13) * 3, frequencies);
  const torch::Tensor x = normal({13, 3 * 10 + 7}, 1);
  // A projection before it, as in the model: rotary_ writes into that one's output.
  expect_fused_equals_plain([&](const Tensors& in) { return Tensors{rotary_(in[0] * 2, 3, angles)}; },
                            [&](const Tensors& in) { return Tensors{rotary_plain(in[0] * 2, 3, angles)}; }, {x});
  const torch::Tensor turned = rotary_(x.clone(), 3, angles);
  EXPECT_TRUE(turned.narrow(1, 30, 7).equal(x.narrow(1, 30, 7)));
  EXPECT_TRUE(turned[0].equal(x[0]));                 // position 0
  EXPECT_FALSE(close(turned[1], x[1], 1e-2));         // control
  EXPECT_TRUE(close(turned.norm(), x.norm(), 1e-6));  // a rotation
}

TEST(GatedMlpTest, FastEqualsPlain) {
  for (const auto activation : {GateActivation::kSilu, GateActivation::kGeluTanh}) {
    expect_fused_equals_plain([&](const Tensors& in) { return Tensors{gated_mlp(in[0], 21, activation)}; },
                              [&](const Tensors& in) { return Tensors{gated_mlp_plain(in[0], 21, activation)}; },
                              {3 * normal({9, 2 * 21 + 4}, 1)});
  }
  const torch::Tensor x = normal({9, 42}, 1);
  EXPECT_FALSE(close(gated_mlp(x, 21, GateActivation::kSilu), gated_mlp(x, 21, GateActivation::kGeluTanh), 1e-2));
}

TEST(CrossEntropyTest, ChunksEqualAllLogitsAtOnce) {
  // Wide enough that 200 rows make several chunks.
  constexpr int64_t kVocab = 70'001, kHidden = 24, kRows = 200;
  const torch::Tensor weight = 0.3 * normal({kVocab, kHidden}, 1), targets = (torch::arange(kRows) * 7919) % kVocab;
  const torch::Tensor weights = normal({kRows}, 2).abs();
  for (const auto dtype : {torch::kFloat32, torch::kBFloat16, torch::kFloat64}) {
    const torch::Tensor w = weight.to(dtype);
    const FrozenWeight projection = FrozenWeight::packed(w, /*both_ways=*/true);
    const torch::Tensor hidden = normal({kRows, kHidden}, 3).to(dtype);
    const auto row_type = dtype == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
    torch::Tensor losses, exact_losses;
    const Tensors found = outputs_and_gradients(
        [&](const Tensors& in) {
          const CrossEntropy ce = linear_cross_entropy(in[0], projection, targets, weights.to(row_type));
          losses = ce.losses;
          return Tensors{ce.total};
        },
        {hidden});
    const Tensors expected = outputs_and_gradients(
        [&](const Tensors& in) {
          const CrossEntropy ce =
              linear_cross_entropy_reference(in[0], w.to(torch::kFloat64), targets, weights.to(torch::kFloat64));
          exact_losses = ce.losses;
          return Tensors{ce.total};
        },
        {hidden.to(torch::kFloat64)});
    const double tolerance = dtype == torch::kFloat64 ? 1e-12 : (dtype == torch::kFloat32 ? 2e-6 : 1e-2);
    EXPECT_TRUE(close(losses, exact_losses, tolerance));
    EXPECT_TRUE(close(found[0], expected[0], tolerance));
    EXPECT_TRUE(close(found[1], expected[1], tolerance)) << torch::toString(dtype);
    EXPECT_FALSE(close(losses.flip(0), exact_losses, 5e-2));  // control
  }
}

struct CausalCase {
  std::vector<int32_t> lengths;
  int64_t heads, kv_heads, head_dim, window;
  bool asked_only;  // only every third token asks
};

class CausalAttentionTest : public testing::TestWithParam<CausalCase> {};

TEST_P(CausalAttentionTest, FastEqualsPlainOnLongSequences) {
  const CausalCase& c = GetParam();
  const AttentionShape shape{.heads = c.heads,
                             .kv_heads = c.kv_heads,
                             .head_dim = c.head_dim,
                             .scale = 0.3,
                             .causal = true,
                             .window = c.window};
  std::vector<int32_t> key_starts = {0}, query_starts = {0}, positions;
  AttentionIndex index;
  for (const int32_t length : c.lengths) {
    for (int32_t i = 0; i < length; i += c.asked_only ? 3 : 1) positions.push_back(i);
    key_starts.push_back(key_starts.back() + length);
    query_starts.push_back(static_cast<int32_t>(positions.size()));
    index.max_keys = index.max_queries = std::max<int64_t>(index.max_keys, length);
  }
  index.key_starts = RowStarts::of(key_starts);
  index.query_starts = RowStarts::of(query_starts);
  index.query_positions = torch::tensor(positions, torch::kInt32);
  index.dropout_keys = torch::zeros({static_cast<int64_t>(c.lengths.size())}, torch::kInt64);
  const int64_t width = c.heads * c.head_dim, kv_width = c.kv_heads * c.head_dim;
  const torch::Tensor queries = normal({static_cast<int64_t>(positions.size()), width + 3}, 1);
  const torch::Tensor keys_values = normal({key_starts.back(), 2 * kv_width + 5}, 2);
  const auto run = [&](auto attention) {
    return [&, attention](const Tensors& in) {
      return Tensors{attention(in[0], in[1], {.query = 0, .key = 0, .value = kv_width}, shape, index, Dropout{})};
    };
  };
  expect_fused_equals_plain(run(varlen_attention), run(varlen_attention_plain), {queries, keys_values});
  if (c.window > 0) {  // control: the window shows
    AttentionShape open = shape;
    open.window = 0;
    EXPECT_FALSE(
        close(varlen_attention(queries, keys_values, {.query = 0, .key = 0, .value = kv_width}, open, index, {}),
              run(varlen_attention)({queries, keys_values})[0], 1e-2));
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, CausalAttentionTest,
                         testing::Values(CausalCase{{1, 33, 130, 17}, 6, 2, 12, 0, false},
                                         CausalCase{{301}, 2, 1, 16, 0, false},
                                         CausalCase{{5, 200}, 4, 4, 9, 40, false},
                                         CausalCase{{77, 2, 150}, 4, 2, 8, 0, true},
                                         CausalCase{{120, 64}, 3, 1, 10, 7, true}));

}  // namespace
}  // namespace loraxs
