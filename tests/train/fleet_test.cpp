// Jobs of one recipe side by side against each alone: results must not depend on neighbours.
#include "support/fleet.h"

#include <gtest/gtest.h>
#include <torch/csrc/autograd/custom_function.h>

#include "io/error.h"
#include "ops/frozen_gemm.h"
#include "support/close.h"
#include "train/objective.h"

namespace loraxs {
namespace {

using test::Fleet;
using test::Member;

constexpr int64_t kJobs = 8, kSteps = 12;

/// How a step is cut into micro-batches.
struct Cut {
  int64_t tokens = 1 << 20;  // of one micro-batch
  int64_t parts = 1;         // of one job's step, at least
};

std::vector<Member> same_members(const test::OracleCase& oracle, const Cut& cut) {
  TrainRecipe train;
  train.batch_size = 8;
  train.tokens_per_batch = cut.tokens;
  train.gradient_accumulation = cut.parts;
  train.max_steps = kSteps;
  train.schedule = "constant";
  train.warmup_ratio = 0;
  train.learning_rate = train.head_learning_rate = {1e-2};
  std::vector<Member> members;
  const ExampleView examples = test::examples_of(oracle);
  for (int64_t seed = 0; seed < kJobs; ++seed) members.push_back({.seed = seed, .train = train, .examples = examples});
  return members;
}

/// Other dropout masks, and nothing else.
void other_masks(std::vector<JobStep>& steps) {
  for (JobStep& step : steps) {
    for (Sequence& sequence : step.sequences) ++sequence.seed;
  }
}

constexpr Cut kCuts[] = {{}, {.tokens = 300}, {.tokens = 40}, {.tokens = 300, .parts = 4}};

void expect_bits_in_every_cut(torch::ScalarType dtype, std::span<const Cut> cuts) {
  if (!row_invariant(dtype)) GTEST_SKIP() << "rows of this machine's " << dtype << " GEMM depend on the batch";
  const test::OracleCase oracle("tiny_paper", "trajectory.safetensors");
  const Fleet fleet(oracle, dtype);
  torch::Tensor whole;  // of job 0
  for (const Cut& cut : cuts) {
    SCOPED_TRACE(concat("tokens ", cut.tokens, " parts ", cut.parts));
    const std::vector<Member> members = same_members(oracle, cut);
    const std::vector<test::Trained> together = fleet.train(members, kJobs, cut.tokens);
    for (const int64_t j : {0, 3, 7}) {
      const torch::Tensor alone = fleet.alone(members[j], cut.tokens).row;
      EXPECT_TRUE(alone.equal(together[j].row))
          << "job " << j << ", relative error " << test::relative_error(alone, together[j].row);
      // Control: another job's row is another row.
      EXPECT_GT(test::relative_error(alone, together[(j + 1) % kJobs].row), 0.1);
    }
    if (!whole.defined()) whole = together[0].row;
    if (cut.parts == 1 && cut.tokens >= 300) {  // only groups jobs otherwise
      EXPECT_TRUE(together[0].row.equal(whole));
    }
  }
  // Control: other dropout masks change the rows, so the masks above were the same ones.
  EXPECT_FALSE(fleet.train({same_members(oracle, {}).front()}, 1, 1 << 20, other_masks).front().row.equal(whole));
}

TEST(FleetTest, EightJobsInOneBankEqualEachAloneBitForBit) { expect_bits_in_every_cut(torch::kFloat32, kCuts); }

TEST(FleetTest, EightJobsInOneBfloatBankEqualEachAloneBitForBit) {
  expect_bits_in_every_cut(torch::kBFloat16, std::span(kCuts).first(2));
}

/// A step cut elsewhere adds in another order, and steps multiply what that rounds: float64 tells it from a mistake.
TEST(FleetTest, AnyCutTrainsTheSameRowsOnEveryMachine) {
  const test::OracleCase oracle("tiny_paper", "trajectory.safetensors");
  const Fleet fleet(oracle, torch::kFloat64);
  const std::vector<Member> members = same_members(oracle, {}), cut = same_members(oracle, kCuts[3]);
  const auto whole = fleet.train(members, kJobs, kCuts[0].tokens), parts = fleet.train(cut, kJobs, kCuts[3].tokens);
  for (int64_t j = 0; j < kJobs; ++j) EXPECT_TRUE(test::close(parts[j].row, whole[j].row, 1e-9)) << j;
  EXPECT_TRUE(test::close(fleet.alone(members[3]).row, whole[3].row, 1e-9));
  const torch::Tensor masked = fleet.train({members[3]}, 1, kCuts[0].tokens, other_masks).front().row;
  EXPECT_FALSE(test::close(masked, whole[3].row, 1e-5));  // control
}

TEST(FleetTest, OneBatchOf13HasTheGradientOfFourUnequalOnes) {
  const test::OracleCase oracle("tiny_paper", "trajectory.safetensors");
  std::vector<Sequence> step = oracle.sequences();
  step.resize(13);
  const auto bank = oracle.bank(torch::kFloat32);
  AdaptedModel model = oracle.adapted(bank, torch::kFloat32);
  /// Adds the gradient of `step`, cut into at least so many parts; returns their number.
  const auto accumulate = [&](std::vector<Sequence> step, int64_t parts) {
    weigh_step(step);
    std::vector<int64_t> lengths;
    for (const Sequence& sequence : step) lengths.push_back(static_cast<int64_t>(sequence.input_ids.size()));
    const std::vector<BatchPiece> pieces = cut_step(lengths, 1 << 20, parts);
    for (const BatchPiece& piece : pieces) {
      const PackedBatch batch = pack(std::span(step).subspan(piece.begin, piece.end - piece.begin));
      objective(model.logits(batch, true), batch).total.backward();
    }
    return pieces.size();
  };
  const auto gradient = [&](int64_t parts, size_t batches) {
    bank->gradients.zero_();
    EXPECT_EQ(accumulate(step, parts), batches);
    return bank->gradients.clone();
  };
  const torch::Tensor once = gradient(1, 1);
  EXPECT_LE(test::relative_error(gradient(4, 4), once), 1e-6);
  EXPECT_LE(test::relative_error(gradient(16, 13), once), 1e-6);
  // Control: weights from each micro-batch, not from the step, give another gradient.
  bank->gradients.zero_();
  for (const int64_t begin : {0, 4, 8, 12}) {
    accumulate({step.begin() + begin, step.begin() + std::min<int64_t>(begin + 4, 13)}, 1);
  }
  EXPECT_GT(test::relative_error(bank->gradients / 4, once), 1e-2);
}

}  // namespace
}  // namespace loraxs
