// Heads with different outputs in one batch against each alone.
#include <gtest/gtest.h>
#include <torch/csrc/autograd/custom_function.h>

#include "eval/score.h"
#include "io/error.h"
#include "io/seeds.h"
#include "ops/frozen_gemm.h"
#include "support/close.h"
#include "support/oracle.h"
#include "train/objective.h"

namespace loraxs {
namespace {

constexpr int64_t kOutputs[] = {2, 3, 5, 1};  // the last one is regression
constexpr int64_t kEach = 3;                  // sequences

struct Case {
  const char* model;
  torch::ScalarType dtype;
};

class HeadWidthsTest : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    if (!row_invariant(GetParam().dtype)) GTEST_SKIP() << "rows of this machine's GEMM depend on the batch";
  }
  const test::OracleCase oracle{GetParam().model};

  std::shared_ptr<Bank> bank(size_t number) const {
    const int64_t outputs = kOutputs[number];
    const HeadLayout head = make_head("full", outputs, outputs == 1, *oracle.model.architecture, "test");
    const Layout layout = make_layout("lora_xs", oracle.layout.sites, 4, head, oracle.model.config.hidden_size, "test");
    auto bank = std::make_shared<Bank>(make_bank(layout, 16, 1));
    fill_normal(std::span(bank->values.mutable_data_ptr<float>(), bank->values.numel()), 50 + number, 0.3);
    bank->gradients = torch::zeros_like(bank->values);
    return bank;
  }
  /// Three sequences of job `number`, weighed as a step of their own.
  std::vector<Sequence> step(size_t number, int64_t slot) const {
    const std::vector<Sequence> source = oracle.sequences(slot);
    std::vector<Sequence> step;
    for (int64_t i = 0; i < kEach; ++i) {
      step.push_back(source[(number + 2 * i) % source.size()]);
      const int64_t outputs = kOutputs[number];
      step.back().target = outputs == 1 ? 0.7 * static_cast<double>(i) : static_cast<double>((i + 1) % outputs);
      step.back().seed = 90 + number;
    }
    weigh_step(step);
    return step;
  }
  struct Result {
    HeadLogits logits;
    ObjectiveValue value;
    std::vector<torch::Tensor> gradients;  // per bank
  };
  Result train(const std::vector<size_t>& numbers) const {
    AdapterSet set;
    std::vector<Sequence> sequences;
    for (size_t i = 0; i < numbers.size(); ++i) {
      set.banks.push_back(bank(numbers[i]));
      set.slots.push_back({.bank = static_cast<int64_t>(i), .row = 0});
      const std::vector<Sequence> own = step(numbers[i], static_cast<int64_t>(i));
      sequences.insert(sequences.end(), own.begin(), own.end());
    }
    AdaptedModel model(oracle.model, oracle.basis, set, GetParam().dtype);  // with the config's dropout
    const PackedBatch batch = pack(sequences);
    Result result{.logits = model.logits(batch, /*training=*/true)};
    result.value = objective(result.logits, batch);
    result.value.total.backward();
    for (const auto& bank : set.banks) result.gradients.push_back(bank->gradients);
    return result;
  }
};

TEST_P(HeadWidthsTest, LogitsLossesAndGradientsEqualEachAlone) {
  const Result together = train({0, 1, 2, 3});
  ASSERT_EQ(together.logits.runs.size(), 4U);
  for (size_t j = 0; j < 4; ++j) {
    SCOPED_TRACE(kOutputs[j]);
    const Result alone = train({j});
    const HeadRun& run = together.logits.runs[j];
    EXPECT_EQ(run.outputs, kOutputs[j]);
    EXPECT_EQ(run.regression, kOutputs[j] == 1);
    const torch::Tensor logits = together.logits.of(run).detach(), expected = alone.logits.values.detach();
    EXPECT_TRUE(logits.equal(expected)) << test::relative_error(logits, expected);
    EXPECT_EQ(predictions_of(logits, run.regression), predictions_of(expected, run.regression));
    EXPECT_EQ(together.value.job_losses()[j], alone.value.job_losses()[0]);
    EXPECT_TRUE(together.gradients[j].equal(alone.gradients[0]))
        << test::relative_error(together.gradients[j], alone.gradients[0]);
    EXPECT_GT(together.gradients[j].abs().max().item<double>(), 0);
  }
  // Control: over all columns, as if they were one head's, the first job's loss is another.
  const HeadRun all{.begin = 0, .end = 4 * kEach, .outputs = 5};
  std::vector<Sequence> sequences;
  for (size_t j = 0; j < 4; ++j) {
    const std::vector<Sequence> own = step(j, static_cast<int64_t>(j));
    sequences.insert(sequences.end(), own.begin(), own.end());
  }
  sequences[3 * kEach].target = sequences[3 * kEach + 1].target = sequences[3 * kEach + 2].target = 0;
  const ObjectiveValue padded = objective({.values = together.logits.values, .runs = {all}}, pack(sequences));
  EXPECT_GT(std::abs(padded.job_losses()[0] - together.value.job_losses()[0]), 1e-2);
}

TEST_P(HeadWidthsTest, EachSlotIsScoredOverItsOwnLabels) {
  AdapterSet set;
  for (size_t j = 0; j < 4; ++j) {
    set.banks.push_back(bank(j));
    set.slots.push_back({.bank = static_cast<int64_t>(j), .row = 0});
  }
  EncodedExamples examples;
  for (const Sequence& s : oracle.sequences()) {
    examples.encodings.push_back({.input_ids = s.input_ids, .token_type_ids = s.token_type_ids});
    examples.targets.push_back(0);
  }
  AdaptedModel model(oracle.model, oracle.basis, set, GetParam().dtype);
  const ExampleView view(std::move(examples));
  const std::vector<torch::Tensor> all = predict_logits(model, view, {0, 1, 2, 3}, /*tokens_per_batch=*/200);
  for (size_t j = 0; j < 4; ++j) {
    AdaptedModel alone(oracle.model, oracle.basis, AdapterSet::of_bank(set.banks[j]), GetParam().dtype);
    EXPECT_EQ(all[j].size(1), kOutputs[j]);
    EXPECT_TRUE(all[j].equal(predict_logits(alone, view, {0}, 200).front()));
  }
  // A sequence without a head has no logits, and no loss.
  std::vector<Sequence> mixed = step(1, 1);
  mixed.push_back(mixed.front());
  mixed.back().slot = kNoSlot;
  const HeadLogits logits = model.logits(pack(mixed), false);
  ASSERT_EQ(logits.runs.size(), 2U);
  EXPECT_EQ(logits.of(logits.runs[1]).size(1), 0);
  EXPECT_THROW(objective(logits, pack(mixed)), c10::Error);
}

INSTANTIATE_TEST_SUITE_P(Cases, HeadWidthsTest,
                         testing::Values(Case{"tiny_paper", torch::kFloat32}, Case{"tiny_roberta", torch::kFloat32},
                                         Case{"tiny_roberta", torch::kBFloat16}));

}  // namespace
}  // namespace loraxs
