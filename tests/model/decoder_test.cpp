// Decoders against transformers and autograd on the same inputs; R has standard deviation 0.3, so the adapter matters.
#include <gtest/gtest.h>
#include <torch/csrc/autograd/custom_function.h>

#include <fstream>

#include "eval/score.h"
#include "io/error.h"
#include "io/fields.h"
#include "ops/frozen_gemm.h"
#include "ops/row_optimizer.h"
#include "support/bfloat_gradients.h"
#include "support/close.h"
#include "support/expect_error.h"
#include "support/oracle.h"
#include "support/temporary_folder.h"
#include "support/trajectory.h"
#include "train/language_objective.h"

namespace loraxs {
namespace {

using test::OracleCase;

/// Sequences of one optimizer step: every target weighs the same.
std::vector<Sequence> weighed(std::vector<Sequence> sequences) {
  weigh_step(sequences);
  return sequences;
}

struct Precision {
  torch::ScalarType dtype;
  const char* suffix;
  double logits, gradients;  // tolerances
};
const Precision kPrecisions[] = {{torch::kFloat32, "", 1e-5, 1e-5}, {torch::kFloat64, "64", 1e-10, 1e-8}};

class DecoderTest : public testing::TestWithParam<const char*> {
 protected:
  static torch::Tensor logits(const OracleCase& oracle, const std::shared_ptr<Bank>& bank, torch::ScalarType dtype) {
    torch::NoGradGuard no_grad;
    return oracle.adapted(bank, dtype).token_logits(pack(oracle.sequences(), Ask::kAll));
  }
};

TEST_P(DecoderTest, LogitsWithAndWithoutTheAdapterEqualTransformers) {
  const OracleCase oracle(GetParam());
  for (const Precision& precision : kPrecisions) {
    SCOPED_TRACE(precision.suffix);
    const torch::Tensor plain = oracle.tensor(std::string("logits") + precision.suffix);
    const torch::Tensor adapted = oracle.tensor(std::string("adapted_logits") + precision.suffix);
    const auto of = [&](double factor, bool transposed = false) {
      return logits(oracle, oracle.bank(precision.dtype, factor, transposed), precision.dtype);
    };
    EXPECT_LE(test::largest_error(of(0), plain), precision.logits);
    EXPECT_LE(test::largest_error(of(1), adapted), precision.logits);
    // Controls: without R, and with R transposed, the same check fails.
    EXPECT_GT(test::largest_error(of(0), adapted), 1e-3);
    EXPECT_GT(test::largest_error(of(1, true), adapted), 1e-3);
  }
}

TEST_P(DecoderTest, BfloatIsNoFurtherFromFloatThanTransformers) {
  const OracleCase oracle(GetParam());
  const torch::Tensor exact = oracle.tensor("logits64");
  const double ours = test::relative_error(logits(oracle, oracle.bank(torch::kFloat32, 0), torch::kBFloat16), exact);
  const double theirs = test::relative_error(oracle.tensor("logits16"), exact);
  EXPECT_LE(ours, theirs);
  EXPECT_GT(ours, 1e-4);  // control: it is bfloat16 that was measured
}

TEST_P(DecoderTest, LossAndGradientsOfREqualAutograd) {
  const OracleCase oracle(GetParam());
  const PackedBatch batch = pack(weighed(oracle.sequences()));
  for (const Precision& precision : kPrecisions) {
    SCOPED_TRACE(precision.suffix);
    const auto bank = oracle.bank(precision.dtype);
    AdaptedModel model = oracle.adapted(bank, precision.dtype);
    const CrossEntropy loss = model.token_loss(batch, /*training=*/true);
    const double expected_loss = oracle.tensor(std::string("loss") + precision.suffix).item<double>();
    EXPECT_NEAR(loss.total.item<double>(), expected_loss, precision.logits * expected_loss);
    loss.total.backward();
    std::vector<torch::Tensor> expected_row, exact_row;
    for (const LayoutSegment& segment : bank->layout->segments) {
      const std::string site = segment.name.substr(0, segment.name.size() - 2);
      const torch::Tensor expected = oracle.tensor(concat("grad", precision.suffix, ".", site));
      const torch::Tensor found =
          bank->gradients.select(0, 0).narrow(0, segment.offset, segment.numel()).view(segment.shape);
      expected_row.push_back(expected.reshape(-1));
      exact_row.push_back(oracle.tensor("grad64." + site).reshape(-1));
      EXPECT_FALSE(test::close(found.t(), expected, 1e-2)) << segment.name;  // control
    }
    // In float32 a gradient is known to neither side better than its rounding: measured against float64, we may be off
    // by 1e-5 or by what PyTorch's own float32 is off.
    const torch::Tensor exact = torch::cat(exact_row);
    const double theirs = test::relative_error(torch::cat(expected_row), exact);
    EXPECT_TRUE(test::close(bank->gradients.select(0, 0), exact, std::max(precision.gradients, theirs))) << theirs;
  }
}

TEST_P(DecoderTest, BfloatGradientsOfRAreNoFurtherFromFloatThanTransformers) {
  const OracleCase oracle(GetParam());
  const auto bank = oracle.bank(torch::kFloat32);
  AdaptedModel model = oracle.adapted(bank, torch::kBFloat16);
  model.token_loss(pack(weighed(oracle.sequences())), /*training=*/true).total.backward();
  test::expect_no_further(oracle, *bank);
}

TEST_P(DecoderTest, PackedEqualsAloneInAnyOrder) {
  const OracleCase oracle(GetParam());
  std::vector<Sequence> sequences = oracle.sequences();
  for (Sequence& sequence : sequences) {
    sequence.is_target.clear();
    sequence.asks_next = true;
  }
  AdaptedModel model = oracle.adapted(oracle.bank(torch::kFloat32), torch::kFloat32);
  torch::NoGradGuard no_grad;
  const torch::Tensor together = model.token_logits(pack(sequences, Ask::kNext));
  std::vector<torch::Tensor> alone;
  for (const Sequence& s : sequences) alone.push_back(model.token_logits(pack(std::vector{s}, Ask::kNext)));
  EXPECT_LE(test::largest_error(together, torch::cat(alone)), 1e-5);
  if (row_invariant(torch::kFloat32)) {
    EXPECT_TRUE(together.equal(torch::cat(alone)));
  }
  std::reverse(sequences.begin(), sequences.end());
  EXPECT_LE(test::largest_error(model.token_logits(pack(sequences, Ask::kNext)).flip(0), together), 1e-5);
  sequences.front().input_ids.front() ^= 1;  // control: another text gives other logits
  EXPECT_GT(test::largest_error(model.token_logits(pack(sequences, Ask::kNext)).flip(0), together), 1e-3);
}

TEST_P(DecoderTest, MicroBatchesGiveTheGradientOfTheWholeStep) {
  const OracleCase oracle(GetParam());
  std::vector<Sequence> sequences = oracle.sequences();
  const auto more = oracle.sequences();
  sequences.insert(sequences.end(), more.rbegin(), more.rend());
  sequences.push_back(more[3]);
  sequences.push_back(more[4]);
  ASSERT_EQ(sequences.size(), 16U);
  sequences = weighed(sequences);
  const auto gradient = [&](size_t size) {
    const auto bank = oracle.bank(torch::kFloat32);
    AdaptedModel model = oracle.adapted(bank, torch::kFloat32);
    for (size_t begin = 0; begin < sequences.size(); begin += size) {
      model.token_loss(pack(std::span(sequences).subspan(begin, size)), true).total.backward();
    }
    return bank->gradients.clone();
  };
  EXPECT_LE(test::relative_error(gradient(4), gradient(16)), 1e-6);
  sequences.front().loss_weight *= 1.5;  // control: a normaliser of its own shows
  const torch::Tensor other = gradient(4);
  sequences.front().loss_weight /= 1.5;
  EXPECT_GT(test::relative_error(other, gradient(16)), 1e-3);
}

TEST_P(DecoderTest, RecomputedLayersGiveTheSameBits) {
  const OracleCase oracle(GetParam());
  const PackedBatch batch = pack(weighed(oracle.sequences()));
  for (const auto dtype : {torch::kFloat32, torch::kBFloat16}) {
    const auto gradient = [&](int64_t budget, double factor = 1) {
      const auto bank = oracle.bank(torch::kFloat32, factor);
      AdaptedModel model = oracle.adapted(bank, dtype);
      model.limit_activations(budget);
      model.token_loss(batch, true).total.backward();
      return bank->gradients.clone();
    };
    const torch::Tensor kept = gradient(-1);
    EXPECT_TRUE(gradient(0).equal(kept));         // every layer
    EXPECT_TRUE(gradient(100'000).equal(kept));   // some
    EXPECT_FALSE(gradient(0, 0.99).equal(kept));  // control
  }
}

/// Losses and gradients of two jobs in one batch, and of each alone.
void expect_two_jobs_equal_each_alone(const OracleCase& oracle, torch::ScalarType dtype, double tolerance) {
  const auto one = oracle.bank(torch::kFloat32);
  const torch::Tensor rows = torch::stack({one->values[0], one->values[0] * -0.7});
  const auto run = [&](const torch::Tensor& rows, const std::vector<int64_t>& slots) {
    auto bank = std::make_shared<Bank>(make_bank(oracle.layout, oracle.alpha, rows.size(0)));
    bank->values.copy_(rows);
    bank->gradients = torch::zeros_like(bank->values);
    std::vector<Sequence> sequences;
    for (const int64_t slot : slots) {
      for (Sequence& sequence : weighed(oracle.sequences(slot))) sequences.push_back(std::move(sequence));
    }
    AdaptedModel model = oracle.adapted(bank, dtype);
    const ObjectiveValue value = language_objective(model, pack(sequences));
    value.total.backward();
    return std::pair(value.job_losses(), bank->gradients.clone());
  };
  const auto [losses, gradients] = run(rows, {0, 1});
  ASSERT_EQ(losses.size(), 2U);
  EXPECT_GT(std::abs(losses[0] - losses[1]), 1e-3);  // control: the jobs differ
  for (int64_t job = 0; job < 2; ++job) {
    const auto [loss, gradient] = run(rows.narrow(0, job, 1), {0});
    if (row_invariant(dtype)) {
      EXPECT_EQ(losses[job], loss[0]);
      EXPECT_TRUE(gradients.narrow(0, job, 1).equal(gradient));
    }
    EXPECT_NEAR(losses[job], loss[0], tolerance * loss[0]);
    EXPECT_LE(test::relative_error(gradients.narrow(0, job, 1), gradient), tolerance);
  }
}

TEST_P(DecoderTest, TwoJobsInOneBatchEqualEachAlone) {
  expect_two_jobs_equal_each_alone(OracleCase(GetParam()), torch::kFloat32, 1e-5);
}

TEST_P(DecoderTest, TwoJobsInOneBfloatBatchEqualEachAlone) {
  if (!row_invariant(torch::kBFloat16)) GTEST_SKIP() << "rows of this machine's bfloat16 GEMM depend on the batch";
  expect_two_jobs_equal_each_alone(OracleCase(GetParam()), torch::kBFloat16, 0);
}

TEST_P(DecoderTest, HeldOutLossIsTheMeanOverAllTargets) {
  const OracleCase oracle(GetParam());
  AdaptedModel model = oracle.adapted(oracle.bank(torch::kFloat32), torch::kFloat32);
  EncodedExamples examples;
  for (const Sequence& s : oracle.sequences()) {
    examples.encodings.push_back({.input_ids = s.input_ids, .is_target = s.is_target});
    examples.targets.push_back(0);
  }
  const double expected = oracle.tensor("loss").item<double>();
  EXPECT_NEAR(score_slots(model, ExampleView(EncodedExamples(examples)), {0}, "loss", false).front(), expected,
              1e-5 * expected);
  examples.encodings[3].is_target.assign(examples.encodings[3].input_ids.size(), 1);  // control
  EXPECT_GT(std::abs(score_slots(model, ExampleView(EncodedExamples(examples)), {0}, "loss", false).front() - expected),
            1e-3);
}

INSTANTIATE_TEST_SUITE_P(Cases, DecoderTest,
                         testing::Values("tiny_llama", "tiny_llama3", "tiny_llama_linear", "tiny_mistral", "tiny_gemma",
                                         "tiny_qwen2", "tiny_qwen3"),
                         [](const auto& info) { return std::string(info.param); });

/// A copy of tiny_llama's folder whose config.json has one key changed.
void expect_config_error(const std::string& key, const nlohmann::json& value, const std::string& message) {
  const test::TemporaryFolder folder;
  const std::filesystem::path source = test::oracle_folder() / "tiny_llama";
  std::filesystem::copy(source / "model.safetensors", folder / "model.safetensors");
  nlohmann::json config = read_json(source / "config.json");
  config[key] = value;
  std::ofstream(folder / "config.json") << config.dump();
  EXPECT_ERROR(load_base_model(folder.path(), ""), message);
}

TEST(LlamaConfigTest, WhatWeCannotRunIsRefusedByName) {
  expect_config_error("rope_parameters", {{"rope_type", "su"}, {"factor", 2.0}}, "rope_parameters.rope_type: expected");
  expect_config_error("rope_parameters",
                      {{"rope_type", "llama3"}, {"factor", 2.0}, {"low_freq_factor", 4.0}, {"high_freq_factor", 4.0}},
                      "high_freq_factor: expected more than low_freq_factor 4");
  expect_config_error("num_key_value_heads", 4, "num_key_value_heads: expected a divisor of num_attention_heads 6");
  expect_config_error("head_dim", 11, "head_dim: expected an even number, found 11");
  expect_config_error("hidden_act", "relu", "hidden_act: expected");
  expect_config_error("attention_bias", true, "self_attn.q_proj.bias");  // none in the checkpoint
  expect_config_error("intermediate_size", 72, "mlp.gate_proj.weight: expected shape [72, 48]");
  EXPECT_ERROR(make_head("full", 2, /*regression=*/false, find_architecture("llama", "test"), "recipe.yaml"),
               "recipe.yaml: head: expected none for llama");
}

TEST(DecoderTrajectoryTest, FiftyStepsEqualTheReferenceOptimizer) {
  const OracleCase oracle("tiny_llama", "trajectory.safetensors");
  const std::vector<Sequence> sequences = oracle.sequences();
  const torch::Tensor order = oracle.tensor("batches"), losses = oracle.tensor("loss64"),
                      expected = oracle.tensor("rows64");
  const auto run = [&](torch::ScalarType dtype, double learning_rate, int64_t steps) {
    const auto bank = oracle.bank(dtype);
    AdaptedModel model = oracle.adapted(bank, dtype);
    const OptimizerRows rows{bank->values, bank->gradients, torch::zeros_like(bank->values),
                             torch::zeros_like(bank->values)};
    test::Trajectory trajectory;
    for (int64_t step = 0; step < steps; ++step) {
      std::vector<Sequence> chosen;
      for (int64_t i = 0; i < order.size(1); ++i) chosen.push_back(sequences[order[step][i].item<int32_t>()]);
      const CrossEntropy loss = model.token_loss(pack(weighed(chosen)), true);
      loss.total.backward();
      adamw_step_(rows, 0, step + 1, std::vector<RateSegment>{{0, bank->layout->row_size, learning_rate}},
                  AdamWConfig{});
      trajectory.add(loss.total.item<double>(), losses[step].item<double>(), bank->values[0], expected[step]);
    }
    return trajectory;
  };
  const test::Trajectory exact = run(torch::kFloat64, 2e-3, order.size(0));
  EXPECT_LE(exact.worst_loss(), 1e-7);
  EXPECT_LE(exact.worst_row(), 1e-7);
  const torch::Tensor loss_spread = oracle.tensor("loss_spread"), row_spread = oracle.tensor("rows_spread");
  const int64_t steps = loss_spread.size(0);
  EXPECT_TRUE(run(torch::kFloat32, 2e-3, steps).is_as_near_as(loss_spread, row_spread));
  EXPECT_FALSE(run(torch::kFloat32, 2.02e-3, steps).is_as_near_as(loss_spread, row_spread));  // control
  EXPECT_GT(test::relative_error(expected[steps - 1], expected[0]), 0.01);  // control: the steps move the row
}

}  // namespace
}  // namespace loraxs
