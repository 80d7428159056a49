// Every operator on a device that is not the CPU, beside its kernels on the CPU: values, gradients, and that nothing
// crossed in between.
#include "support/other_device.h"

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>

#include "io/error.h"
#include "ops/attention.h"
#include "ops/cross_entropy.h"
#include "ops/device.h"
#include "ops/gated_mlp.h"
#include "ops/gelu.h"
#include "ops/paged_attention.h"
#include "ops/residual_norm.h"
#include "ops/rms_norm.h"
#include "ops/rotary.h"
#include "ops/row_optimizer.h"
#include "ops/skinny_gemm.h"
#include "support/close.h"
#include "support/expect_error.h"
#include "support/fused_operator.h"
#include "support/random_tensor.h"

namespace loraxs {
namespace {

using test::close;
using test::normal;
using test::other_device;
using test::Tensors;

/// An operator whose frozen tensors are on the device that it is asked for.
using DeviceOperator = std::function<Tensors(const Tensors& inputs, torch::Device device)>;

/// Outputs, then gradients of all inputs, on the CPU. On the other device nothing may cross meanwhile.
Tensors run_on(torch::Device device, const DeviceOperator& f, const Tensors& inputs) {
  Tensors in;
  for (const torch::Tensor& x : inputs) in.push_back(x.to(device).detach().clone().requires_grad_(true));
  f(in, device);  // frozen tensors are made once, as in a model
  test::reset_crossings();
  const Tensors outputs = f(in, device);
  const test::Crossings forward = test::crossings();
  Tensors results, differentiable, weights;
  for (const torch::Tensor& y : outputs) {
    results.push_back(y.detach().cpu());
    if (!y.requires_grad()) continue;
    differentiable.push_back(y);
    weights.push_back(normal(y.sizes(), 90 + weights.size(), y.scalar_type()).to(device));
  }
  test::reset_crossings();
  if (!differentiable.empty()) torch::autograd::backward(differentiable, weights);
  const test::Crossings backward = test::crossings();
  if (device == other_device()) {
    EXPECT_TRUE(forward.stayed()) << forward.uploads << " uploads, " << forward.downloads << " downloads";
    EXPECT_TRUE(differentiable.empty() || backward.stayed())
        << backward.uploads << " uploads, " << backward.downloads << " downloads";
  }
  for (const torch::Tensor& x : in) {
    if (!differentiable.empty()) results.push_back(x.grad().cpu());
  }
  return results;
}

/// Frozen tensors, moved to a device once.
class Frozen {
 public:
  explicit Frozen(Tensors tensors) : cpu_(std::move(tensors)) {
    for (const torch::Tensor& x : cpu_) other_.push_back(x.to(other_device()));
  }
  const torch::Tensor& at(size_t i, torch::Device device) const { return (device.is_cpu() ? cpu_ : other_).at(i); }

 private:
  Tensors cpu_, other_;
};

void expect_same_elsewhere(const DeviceOperator& f, const Tensors& inputs, bool in_bfloat = true) {
  const Tensors here = run_on(torch::kCPU, f, inputs), there = run_on(other_device(), f, inputs);
  ASSERT_EQ(here.size(), there.size());
  for (size_t i = 0; i < here.size(); ++i) {
    EXPECT_TRUE(close(there[i], here[i], 1e-5)) << "tensor " << i;
    EXPECT_FALSE(close(there[i] * 1.0001, here[i], 1e-5)) << "control, tensor " << i;
  }
  if (!in_bfloat) return;
  Tensors rounded;
  for (const torch::Tensor& x : inputs) rounded.push_back(x.to(torch::kBFloat16));
  const Tensors half_here = run_on(torch::kCPU, f, rounded), half_there = run_on(other_device(), f, rounded);
  for (size_t i = 0; i < half_here.size(); ++i) {
    EXPECT_TRUE(close(half_there[i], half_here[i], 2 * test::kBfloatTolerance)) << "bfloat16, tensor " << i;
  }
}

RowStarts starts_on(const std::vector<int32_t>& starts, torch::Device device) {
  RowStarts result = RowStarts::of(starts);
  result.tensor = result.tensor.to(device);
  return result;
}

TEST(OtherDeviceTest, PointwiseOperators) {
  expect_same_elsewhere([](const Tensors& in, torch::Device) { return Tensors{gelu(in[0], 37)}; },
                        {normal({9, 40}, 1)});
  for (const GateActivation activation : {GateActivation::kSilu, GateActivation::kGeluTanh}) {
    expect_same_elsewhere([&](const Tensors& in, torch::Device) { return Tensors{gated_mlp(in[0], 17, activation)}; },
                          {normal({9, 40}, 1)});
  }
}

TEST(OtherDeviceTest, Norms) {
  const Frozen frozen({normal({35}, 3), normal({35}, 4), torch::arange(13, torch::kInt64) * 7919 + 13,
                       torch::arange(13, torch::kInt32), normal({3, 8}, 5)});
  for (const double probability : {0.0, 0.3}) {
    const Dropout dropout = Dropout::make(probability, 3, DropoutPurpose::kMlpOutput);
    expect_same_elsewhere(
        [&](const Tensors& in, torch::Device device) {
          return Tensors{residual_norm(in[0], in[1], frozen.at(0, device), frozen.at(1, device), 1e-5, dropout,
                                       {frozen.at(2, device), frozen.at(3, device)})};
        },
        {normal({13, 40}, 1), normal({13, 35}, 2)});
  }
  expect_same_elsewhere(
      [&](const Tensors& in, torch::Device device) {
        return Tensors{rms_norm(in[0], frozen.at(0, device), 3e-3, in[0].scalar_type())};
      },
      {normal({13, 35}, 1)});
  expect_same_elsewhere(
      [&](const Tensors& in, torch::Device device) {
        const auto [sum, normed] = residual_rms_norm(in[0], in[1], frozen.at(0, device), 3e-3);
        return Tensors{sum, normed};
      },
      {normal({13, 40}, 1), normal({13, 35}, 2)});
  expect_same_elsewhere(
      [&](const Tensors& in, torch::Device device) {
        return Tensors{head_rms_norm_(in[0] * 2, frozen.at(4, device), 3e-3)};
      },
      {normal({13, 30}, 1)});
}

TEST(OtherDeviceTest, Rotary) {
  const Frozen frozen({torch::arange(11, torch::kInt64) * 100, normal({4}, 2).abs()});
  expect_same_elsewhere(
      [&](const Tensors& in, torch::Device device) {
        return Tensors{rotary_(in[0] * 2, 3, rotary_angles(frozen.at(0, device), frozen.at(1, device), 1.1))};
      },
      {normal({11, 27}, 1)});
}

TEST(OtherDeviceTest, DropoutMasksAreEqualToTheBit) {
  const RowKeys rows{torch::arange(50, torch::kInt64) * int64_t{0x1234567890ABCDEF} + 13,
                     torch::arange(50, torch::kInt32)};
  const RowKeys there{rows.keys.to(other_device()), rows.positions.to(other_device())};
  const torch::Tensor x = normal({50, 200}, 1);
  for (const auto purpose : {DropoutPurpose::kEmbedding, DropoutPurpose::kHead}) {
    const Dropout dropout = Dropout::make(0.2, 5, purpose);
    const torch::Tensor mask = dropout_mask(dropout, there, 200).cpu();
    EXPECT_TRUE(mask.equal(dropout_mask(dropout, rows, 200)));
    EXPECT_TRUE(mask.equal(apply_dropout(torch::ones({50, 200}), dropout, rows)));  // the kernel
    EXPECT_TRUE(apply_dropout(x.to(other_device()), dropout, there).cpu().equal(x * mask));
  }
}

struct OtherAttentionCase {
  const char* name;
  int64_t heads, kv_heads, head_dim, window;
  bool causal, dropout;
  int32_t every;  // query rows: every so many-th position, joined with keys where 1
};

class OtherAttentionTest : public testing::TestWithParam<OtherAttentionCase> {};

TEST_P(OtherAttentionTest, AttentionOfPackedSequences) {
  const OtherAttentionCase& c = GetParam();
  const AttentionShape shape{.heads = c.heads,
                             .kv_heads = c.kv_heads,
                             .head_dim = c.head_dim,
                             .scale = 0.3,
                             .causal = c.causal,
                             .window = c.window};
  const std::vector<int32_t> lengths = {5, 1, 40, 17};
  std::vector<int32_t> key_starts = {0}, query_starts = {0}, positions;
  for (const int32_t length : lengths) {
    for (int32_t p = 0; p < length; p += c.every) positions.push_back(p);
    key_starts.push_back(key_starts.back() + length);
    query_starts.push_back(static_cast<int32_t>(positions.size()));
  }
  const Frozen frozen({torch::tensor(positions, torch::kInt32), torch::arange(4, torch::kInt64) * 1000 + 7});
  const int64_t width = c.heads * c.head_dim, kv_width = c.kv_heads * c.head_dim;
  const Dropout dropout = c.dropout ? Dropout::make(0.25, 2, DropoutPurpose::kAttention) : Dropout{};
  const auto starts_here = starts_on(query_starts, torch::kCPU), starts_there = starts_on(query_starts, other_device());
  const auto keys_here = starts_on(key_starts, torch::kCPU), keys_there = starts_on(key_starts, other_device());
  const auto attend = [&](const Tensors& in, torch::Device device) {
    const AttentionIndex index{.query_starts = device.is_cpu() ? starts_here : starts_there,
                               .key_starts = device.is_cpu() ? keys_here : keys_there,
                               .query_positions = frozen.at(0, device),
                               .dropout_keys = frozen.at(1, device),
                               .max_queries = 40,
                               .max_keys = 40};
    const bool joined = c.every == 1;
    const AttentionColumns columns = joined ? AttentionColumns{.query = 0, .key = width, .value = width + kv_width}
                                            : AttentionColumns{.query = 0, .key = 0, .value = kv_width};
    return Tensors{varlen_attention(in[0], joined ? in[0] : in[1], columns, shape, index, dropout)};
  };
  const auto queries = static_cast<int64_t>(positions.size());
  if (c.every == 1) {
    expect_same_elsewhere(attend, {normal({queries, width + 2 * kv_width + 3}, 1)});
  } else {
    expect_same_elsewhere(attend, {normal({queries, width + 3}, 1), normal({63, 2 * kv_width + 5}, 2)});
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, OtherAttentionTest,
                         testing::Values(OtherAttentionCase{"joined", 3, 3, 12, 0, false, true, 1},
                                         OtherAttentionCase{"grouped", 6, 2, 8, 0, true, true, 1},
                                         OtherAttentionCase{"windowed", 4, 2, 8, 9, true, false, 1},
                                         OtherAttentionCase{"asked", 4, 2, 8, 9, true, true, 7}),
                         [](const auto& info) { return info.param.name; });

/// A prompt each, then one more token each, through a cache whose unwritten places are not numbers.
TEST(OtherDeviceTest, PagedAttention) {
  for (const int64_t window : {0, 21}) {
    const AttentionShape shape{
        .heads = 6, .kv_heads = 2, .head_dim = 8, .scale = 0.3, .causal = true, .window = window};
    const AttentionColumns columns{.query = 0, .key = 48, .value = 64};
    const auto answer = [&](torch::Device device, torch::ScalarType dtype) {
      const torch::TensorOptions options = torch::TensorOptions().dtype(dtype).device(device);
      const PagedBlocks blocks{.keys = torch::full({12, 2, 8, kKeysPerBlock}, NAN, options),
                               .values = torch::full({12, 2, kKeysPerBlock, 8}, NAN, options)};
      const torch::Tensor tables = torch::tensor({5, 2, 9, 1, 0, 0, 7, 11, 3}, torch::kInt32).view({3, 3}).to(device);
      Tensors outputs;
      for (const auto& [starts, positions] : std::vector<std::pair<std::vector<int32_t>, std::vector<int32_t>>>{
               {{0, 40, 41, 60}, {}}, {{0, 1, 2, 2}, {40, 1}}}) {
        std::vector<int32_t> at = positions;
        for (size_t s = 0; positions.empty() && s + 1 < starts.size(); ++s) {
          for (int32_t p = 0; p < starts[s + 1] - starts[s]; ++p) at.push_back(p);
        }
        const torch::Tensor rows = normal({starts.back(), 83}, 5 + starts.back(), dtype).to(device);
        const torch::Tensor position_rows = torch::tensor(at, torch::kInt32).to(device);
        const PagedIndex index{
            .block_tables = tables, .row_starts = starts_on(starts, device), .positions = position_rows};
        const AttentionIndex asks{.query_starts = index.row_starts, .query_positions = position_rows};
        test::reset_crossings();
        store_in_blocks_(blocks, rows, columns, shape, index);
        outputs.push_back(paged_attention(rows, blocks, columns.query, shape, index, asks));
        EXPECT_EQ(test::crossings().stayed(), !device.is_cpu());
      }
      return torch::cat(outputs).cpu();
    };
    EXPECT_TRUE(close(answer(other_device(), torch::kFloat32), answer(torch::kCPU, torch::kFloat32), 1e-5));
    EXPECT_TRUE(close(answer(other_device(), torch::kBFloat16), answer(torch::kCPU, torch::kBFloat16),
                      2 * test::kBfloatTolerance));
  }
}

TEST(OtherDeviceTest, FrozenWeightsAndTheLossOfTokens) {
  const torch::Tensor w = normal({90, 24}, 1);
  const Frozen frozen(
      {torch::arange(0, 70, 3, torch::kInt64), normal({24}, 4).abs(), normal({90}, 7), normal({24, 90}, 3)});
  const FrozenWeight here = FrozenWeight::packed(w, true), there = FrozenWeight::packed(w.to(other_device()), true);
  expect_same_elsewhere(
      [&](const Tensors& in, torch::Device device) {
        const FrozenWeight& weight = device.is_cpu() ? here : there;
        const CrossEntropy loss = linear_cross_entropy(in[0], weight, frozen.at(0, device), frozen.at(1, device));
        return Tensors{loss.total, loss.losses, weight.forward(in[0].detach(), frozen.at(2, device)),
                       weight.backward(frozen.at(3, device))};
      },
      {normal({24, 24}, 2)}, /*in_bfloat=*/false);
  // Blocks stay on the host, and their panels go over as they are unpacked.
  const FrozenWeight stored = FrozenWeight::stored({block_view(w)}, {}, torch::kFloat32);
  const torch::Tensor x = normal({5, 24}, 9), dy = normal({5, 90}, 10);
  EXPECT_TRUE(close(stored.forward(x.to(other_device()), {}).cpu(), stored.forward(x, {}), 1e-5));
  EXPECT_TRUE(close(stored.backward(dy.to(other_device())).cpu(), stored.backward(dy), 1e-5));
}

TEST(OtherDeviceTest, SkinnyProducts) {
  const torch::Tensor a = normal({30, 40}, 1), b = normal({40, 7}, 2), c = normal({30, 7}, 3);
  const torch::Tensor here = c.clone(), there = c.to(other_device());
  skinny_gemm_(here, a, b, 0.5, /*accumulate=*/true);
  skinny_gemm_(there, a.to(other_device()), b.to(other_device()), 0.5, /*accumulate=*/true);
  EXPECT_TRUE(close(there.cpu(), here, 1e-5));
}

TEST(OtherDeviceTest, OptimizerStepsFetchTheNormsOnce) {
  constexpr int64_t kRow = 100;
  for (const double clip : {0.0, 1.0}) {
    const auto run = [&](torch::Device device) {
      const auto rows_of = [&](uint64_t seed) { return normal({3, kRow}, seed).to(device); };
      OptimizerRows rows{rows_of(1), rows_of(2), rows_of(3), rows_of(4).abs()};
      rows.gradients.select(0, 2).narrow(0, 3, 1).fill_(NAN);
      const AdamWConfig config{.max_grad_norm = clip};
      const std::vector<RowStep> steps = {
          {.rows = &rows, .adapter = 2, .step = 1, .segments = {{0, kRow, 1e-2}}, .config = config},
          {.rows = &rows, .adapter = 0, .step = 4, .segments = {{0, 60, 1e-2}, {70, kRow, 3e-2}}, .config = config}};
      test::reset_crossings();
      const std::vector<double> norms = adamw_steps_(steps);
      EXPECT_EQ(test::crossings().downloads, device.is_cpu() ? 0 : 1);
      EXPECT_EQ(test::crossings().uploads, 0);
      EXPECT_TRUE(std::isnan(norms[0]));
      Tensors results = {torch::tensor({norms[1]}, torch::kFloat64)};
      for (const torch::Tensor& bank : {rows.values, rows.gradients, rows.first_moments, rows.second_moments}) {
        results.push_back(bank.nan_to_num(7).cpu());
      }
      return results;
    };
    const Tensors here = run(torch::kCPU), there = run(other_device());
    for (size_t i = 0; i < here.size(); ++i) EXPECT_TRUE(close(there[i], here[i], 1e-6)) << i;
    EXPECT_FALSE(close(there[1], normal({3, kRow}, 1), 1e-3)) << "control: the step moved a row";
    EXPECT_TRUE(there[1].narrow(0, 1, 2).equal(normal({3, kRow}, 1).narrow(0, 1, 2))) << "and no other row";
  }
}

/// What a device does not have in reach is refused, before a kernel reads through a pointer.
TEST(OtherDeviceTest, MixedDevicesAreRefused) {
  const torch::Tensor x = normal({4, 6}, 1), weight = normal({6}, 2), there = x.to(other_device());
  EXPECT_THROW(there + x, c10::Error);
  EXPECT_THROW(torch::cat({there, x}), c10::Error);
  EXPECT_NO_THROW(there + torch::tensor(2.0));  // a number may come from anywhere, as on CUDA
  EXPECT_THROW(rms_norm(there, weight, 1e-5, torch::kFloat32), c10::Error);
  EXPECT_THROW(rms_norm(x, weight.to(other_device()), 1e-5, torch::kFloat32), c10::Error);
  EXPECT_THROW(skinny_gemm_(normal({4, 4}, 3), there, normal({6, 4}, 4), 1, false), c10::Error);
  const Dropout dropout = Dropout::make(0.1, 0, DropoutPurpose::kEmbedding);
  const RowKeys rows{torch::arange(4, torch::kInt64), torch::arange(4, torch::kInt32)};
  EXPECT_THROW(apply_dropout(there, dropout, rows), c10::Error);
  OptimizerRows bank{normal({1, 6}, 1), normal({1, 6}, 2).to(other_device()), normal({1, 6}, 3), normal({1, 6}, 4)};
  EXPECT_THROW(adamw_steps_({{.rows = &bank, .adapter = 0, .step = 1, .segments = {{0, 6, 1e-2}}}}), c10::Error);
}

TEST(OtherDeviceTest, DevicesHaveNames) {
  EXPECT_EQ(device_names().front(), "cpu");
  EXPECT_EQ(find_device("auto", "device"), torch::Device(torch::kCPU));
  EXPECT_EQ(find_device("cpu", "device"), torch::Device(torch::kCPU));
  EXPECT_EQ(find_device("other", "device"), other_device());
  EXPECT_EQ(find_device("other:0", "device"), other_device());
  for (const char* missing : {"other:1", "tpu", "cpu:0", "", "other:", "cuda:99"}) {
    EXPECT_ERROR(find_device(missing, "device"), concat("device: expected one of auto, cpu, other:0, found ", missing));
  }
}

TEST(OtherDeviceDeathTest, AHostPointerIntoItIsNone) {
  const torch::Tensor there = normal({4}, 1).to(other_device());
  EXPECT_DEATH(std::printf("%f", static_cast<double>(*there.const_data_ptr<float>())), "");
}

}  // namespace
}  // namespace loraxs
