// Against transformers and autograd on the same inputs; R has standard deviation 0.3, so the adapter matters.
#include <gtest/gtest.h>
#include <torch/csrc/autograd/custom_function.h>

#include "io/error.h"
#include "ops/row_optimizer.h"
#include "support/bfloat_gradients.h"
#include "support/close.h"
#include "support/oracle.h"
#include "support/trajectory.h"
#include "train/objective.h"
#include "train/schedule.h"

namespace loraxs {
namespace {

using test::OracleCase;

class ParityTest : public testing::TestWithParam<const char*> {};

struct EncoderPrecision {
  torch::ScalarType dtype;
  const char* suffix;
  double logits, gradients;  // tolerances
};
const EncoderPrecision kEncoderPrecisions[] = {{torch::kFloat32, "", 1e-5, 1e-5}, {torch::kFloat64, "64", 1e-10, 1e-8}};

TEST_P(ParityTest, LogitsWithAndWithoutTheAdapterEqualTransformers) {
  const OracleCase oracle(GetParam());
  const PackedBatch batch = pack(oracle.sequences());
  for (const EncoderPrecision& precision : kEncoderPrecisions) {
    SCOPED_TRACE(precision.suffix);
    const auto logits = [&](const std::shared_ptr<Bank>& bank) {
      return oracle.adapted(bank, precision.dtype).logits(batch, false).values;
    };
    const torch::Tensor plain = oracle.tensor(std::string("logits") + precision.suffix);
    const torch::Tensor adapted = oracle.tensor(std::string("adapted_logits") + precision.suffix);
    EXPECT_LE(test::largest_error(logits(oracle.bank(precision.dtype, 0)), plain), precision.logits);
    EXPECT_LE(test::largest_error(logits(oracle.bank(precision.dtype)), adapted), precision.logits);
    // Controls: without R, and with R transposed, the same check fails.
    EXPECT_GT(test::largest_error(logits(oracle.bank(precision.dtype, 0)), adapted), 1e-3);
    EXPECT_GT(test::largest_error(logits(oracle.bank(precision.dtype, 1, true)), adapted), 1e-3);
  }
}

TEST_P(ParityTest, GradientsOfRAndHeadEqualAutograd) {
  const OracleCase oracle(GetParam());
  std::vector<Sequence> sequences = oracle.sequences();
  weigh_step(sequences);
  const PackedBatch batch = pack(sequences);
  for (const EncoderPrecision& precision : kEncoderPrecisions) {
    SCOPED_TRACE(precision.suffix);
    const auto bank = oracle.bank(precision.dtype);
    AdaptedModel model = oracle.adapted(bank, precision.dtype);
    const ObjectiveValue loss = objective(model.logits(batch, true), batch);
    EXPECT_NEAR(loss.job_losses()[0], oracle.tensor(std::string("loss") + precision.suffix).item<double>(),
                precision.logits * std::max(1.0, std::abs(loss.job_losses()[0])));
    loss.total.backward();
    std::vector<torch::Tensor> exact_row;
    for (const LayoutSegment& segment : bank->layout->segments) {
      const std::string name = segment.head ? segment.name : segment.name.substr(0, segment.name.size() - 2);
      const torch::Tensor expected = oracle.tensor(concat("grad", precision.suffix, ".", name));
      const torch::Tensor found =
          bank->gradients.select(0, 0).narrow(0, segment.offset, segment.numel()).view(segment.shape);
      // In float32 a tensor whose gradient cancels is known to neither side better than its rounding: measured against
      // float64, we may be off by 1e-5 or by twice what PyTorch's own float32 is off.
      const torch::Tensor exact = oracle.tensor("grad64." + name);
      exact_row.push_back(exact.reshape(-1));
      const double theirs = test::relative_error(expected, exact);
      EXPECT_LE(test::relative_error(found, exact), std::max(precision.gradients, 2 * theirs)) << segment.name;
      if (!segment.head) {
        EXPECT_FALSE(test::close(found.t(), expected, 1e-2)) << segment.name;  // control
      }
    }
    EXPECT_TRUE(test::close(bank->gradients.select(0, 0), torch::cat(exact_row), precision.gradients));
  }
}

TEST_P(ParityTest, BfloatGradientsAreNoFurtherFromFloatThanTransformers) {
  const OracleCase oracle(GetParam());
  std::vector<Sequence> sequences = oracle.sequences();
  weigh_step(sequences);
  const PackedBatch batch = pack(sequences);
  const auto bank = oracle.bank(torch::kFloat32);
  AdaptedModel model = oracle.adapted(bank, torch::kBFloat16);
  objective(model.logits(batch, true), batch).total.backward();
  test::expect_no_further(oracle, *bank);
}

TEST_P(ParityTest, BatchOrderAndNeighboursDoNotMatter) {
  const OracleCase oracle(GetParam());
  std::vector<Sequence> sequences = oracle.sequences();
  AdaptedModel model = oracle.adapted(oracle.bank(torch::kFloat32), torch::kFloat32);
  const torch::Tensor together = model.logits(pack(sequences), false).values;
  std::vector<torch::Tensor> alone;
  for (const Sequence& s : sequences) alone.push_back(model.logits(pack(std::vector{s}), false).values);
  EXPECT_LE(test::largest_error(together, torch::cat(alone)), 1e-5);
  std::reverse(sequences.begin(), sequences.end());
  EXPECT_LE(test::largest_error(model.logits(pack(sequences), false).values.flip(0), together), 1e-5);
}

INSTANTIATE_TEST_SUITE_P(Cases, ParityTest,
                         testing::Values("tiny_paper", "tiny_all_linear", "tiny_regression", "tiny_roberta",
                                         "tiny_xlm_roberta", "tiny_distilbert", "minilm"),
                         [](const auto& info) { return std::string(info.param); });

TEST(TrajectoryTest, HundredStepsEqualTheReferenceOptimizer) {
  const OracleCase oracle("tiny_paper", "trajectory.safetensors");
  const std::vector<Sequence> sequences = oracle.sequences();
  const torch::Tensor order = oracle.tensor("batches");
  const int64_t all_steps = order.size(0);
  for (const std::string head : {"frozen", "trained"}) {
    SCOPED_TRACE(head);
    const torch::Tensor losses = oracle.tensor("loss64." + head), expected = oracle.tensor("rows64." + head);
    const auto run = [&](torch::ScalarType dtype, double learning_rate, int64_t steps) {
      const auto bank = oracle.bank(dtype);
      AdaptedModel model = oracle.adapted(bank, dtype);
      const OptimizerRows rows{bank->values, bank->gradients, torch::zeros_like(bank->values),
                               torch::zeros_like(bank->values)};
      test::Trajectory trajectory;
      for (int64_t step = 0; step < steps; ++step) {
        std::vector<Sequence> chosen;
        for (int64_t i = 0; i < order.size(1); ++i) chosen.push_back(sequences[order[step][i].item<int32_t>()]);
        weigh_step(chosen);
        const PackedBatch batch = pack(chosen);
        const ObjectiveValue loss = objective(model.logits(batch, true), batch);
        loss.total.backward();
        const double factor = schedule_factor("linear", step, 6, all_steps);
        std::vector<RateSegment> rates = {{0, bank->layout->adapter_numbers, learning_rate * factor}};
        if (head == "trained") rates.push_back({bank->layout->adapter_numbers, bank->layout->row_size, 5e-3 * factor});
        adamw_step_(rows, 0, step + 1, rates, AdamWConfig{});
        trajectory.add(loss.job_losses()[0], losses[step].item<double>(), bank->values[0], expected[step]);
      }
      return trajectory;
    };
    const test::Trajectory exact = run(torch::kFloat64, 1e-2, all_steps);
    EXPECT_LE(exact.worst_loss(), 1e-7);
    EXPECT_LE(exact.worst_row(), 1e-7);
    const torch::Tensor loss_spread = oracle.tensor("loss_spread." + head),
                        row_spread = oracle.tensor("rows_spread." + head);
    const int64_t steps = loss_spread.size(0);
    EXPECT_TRUE(run(torch::kFloat32, 1e-2, steps).is_as_near_as(loss_spread, row_spread));
    EXPECT_FALSE(run(torch::kFloat32, 1.01e-2, steps).is_as_near_as(loss_spread, row_spread));  // control
    EXPECT_GT(test::relative_error(expected[steps - 1], expected[0]), 0.01);  // control: the steps move the row
  }
}

TEST(AdapterSetTest, Ranks4And16AndNoneInOneBatchEqualEachAlone) {
  const OracleCase oracle("minilm");
  const auto wide = oracle.bank(torch::kFloat32);
  const Layout narrow_layout =
      make_layout("lora_xs", oracle.layout.sites, 4, oracle.layout.head, oracle.model.config.hidden_size, "test");
  const auto narrow = std::make_shared<Bank>(make_bank(narrow_layout, 16, 2));
  fill_normal(std::span(narrow->values.mutable_data_ptr<float>(), narrow->values.numel()), 4, 0.3);
  AdapterSet set;
  set.banks = {wide, narrow};
  set.slots = {{0, 0}, {1, 0}, {1, 1}};
  AdaptedModel together(oracle.model, oracle.basis, set, torch::kFloat32);
  const std::vector<Sequence> source = oracle.sequences();
  std::vector<Sequence> mixed;
  for (const int64_t slot : {int64_t{0}, int64_t{1}, int64_t{2}, kNoSlot}) {
    for (int64_t i = 2; i < 5; ++i) {
      mixed.push_back(source[i]);
      mixed.back().slot = slot;
    }
  }
  const torch::Tensor states = together.encode(pack(mixed), false);
  const auto alone = [&](AdapterSet adapters, int64_t slot, int64_t first) {
    AdaptedModel model(oracle.model, oracle.basis, std::move(adapters), torch::kFloat32);
    std::vector<Sequence> part(mixed.begin() + first, mixed.begin() + first + 3);
    for (Sequence& sequence : part) sequence.slot = slot;
    return model.encode(pack(part), false);
  };
  const auto rows = [&](int64_t first) { return states.narrow(0, first, 3); };
  EXPECT_LE(test::largest_error(rows(0), alone(AdapterSet::of_bank(wide), 0, 0)), 1e-5);
  EXPECT_LE(test::largest_error(rows(3), alone(AdapterSet::of_bank(narrow), 0, 3)), 1e-5);
  EXPECT_LE(test::largest_error(rows(6), alone(AdapterSet::of_bank(narrow), 1, 6)), 1e-5);
  EXPECT_LE(test::largest_error(rows(9), alone(AdapterSet{}, kNoSlot, 9)), 1e-5);
  // Controls: slots permuted, and the adapter left out.
  EXPECT_GT(test::largest_error(rows(3), alone(AdapterSet::of_bank(narrow), 1, 3)), 1e-2);
  EXPECT_GT(test::largest_error(rows(0), alone(AdapterSet{}, kNoSlot, 0)), 1e-2);
}

}  // namespace
}  // namespace loraxs
