// Jobs of all kinds in one engine against each alone: a row does not depend on who is there, when, or in which slot.
#include "train/step_engine.h"

#include <gtest/gtest.h>

#include "io/error.h"
#include "ops/frozen_gemm.h"
#include "support/close.h"
#include "support/fleet.h"

namespace loraxs {
namespace {

using test::Fleet;
using test::Member;
using test::Trained;

struct EngineCase {
  const char* model;
  torch::ScalarType dtype;
};

class StepEngineTest : public testing::TestWithParam<EngineCase> {
 protected:
  void SetUp() override {
    if (!row_invariant(GetParam().dtype)) GTEST_SKIP() << "rows of this machine's GEMM depend on the batch";
  }
  const test::OracleCase oracle{GetParam().model, "trajectory.safetensors"};
  const Fleet fleet{oracle, GetParam().dtype};

  /// Nine jobs of which no two agree in data, batch, cut, schedule, rates and length; some come later, some leave
  /// early.
  std::vector<Member> members() const {
    const char* schedules[] = {"linear", "cosine", "constant"};
    std::vector<Member> members;
    for (int64_t m = 0; m < 9; ++m) {
      TrainRecipe train;
      train.batch_size = 2 + m % 4 * 2;
      train.tokens_per_batch = m % 3 == 0 ? 0 : 20 + 37 * m;
      train.gradient_accumulation = 1 + m % 2;
      train.max_steps = 5 + m;
      train.warmup_steps = m % 3;
      train.schedule = schedules[m % 3];
      train.learning_rate = {1e-3 * static_cast<double>(1 + m)};
      train.head_learning_rate = {5e-3 / static_cast<double>(1 + m)};
      train.weight_decay = 0.01 * static_cast<double>(m);
      train.betas = {0.9 - 0.01 * static_cast<double>(m), 0.999};
      train.max_grad_norm = m % 4 == 1 ? 0 : 0.5 + static_cast<double>(m);
      members.push_back({.seed = m, .train = train, .examples = test::examples_of(oracle, m % 3, 1 + m % 2)});
    }
    members[2].joins = 3;  // later
    members[5].joins = 1;
    members[4].leaves = 2;  // early
    members[7].leaves = 4;
    return members;
  }
};

TEST_P(StepEngineTest, JobsAtAnyStepsOfTheirOwnHaveTheBitsOfEachAlone) {
  const std::vector<Member> all = members();
  std::vector<Trained> alone;
  for (const Member& member : all) alone.push_back(fleet.alone(member));
  for (const int64_t tokens : {30, 300, 1 << 20}) {
    for (const int64_t rows : {4, 16}) {  // with 4, slots are used again
      SCOPED_TRACE(concat("groups of ", tokens, " tokens, ", rows, " rows"));
      const std::vector<Trained> together = fleet.train(all, rows, tokens);
      for (size_t m = 0; m < all.size(); ++m) {
        EXPECT_TRUE(together[m].row.equal(alone[m].row))
            << "job " << m << ", relative error " << test::relative_error(together[m].row, alone[m].row);
        EXPECT_EQ(together[m].losses, alone[m].losses) << "job " << m;
        EXPECT_EQ(together[m].state.step, std::min(all[m].train.max_steps, all[m].leaves));
        // Control: another job's row is another row, and training has moved it.
        EXPECT_GT(test::relative_error(together[m].row, alone[(m + 1) % all.size()].row), 0.1);
        EXPECT_GT(test::relative_error(together[m].row, fleet.first_row(all[m].seed)), 1e-4);
      }
    }
  }
}

TEST_P(StepEngineTest, AMistakeIsSeen) {
  const std::vector<Member> all = members();
  std::vector<Trained> alone;
  for (const Member& member : all) alone.push_back(fleet.alone(member));
  const auto differing = [&](const std::function<void(std::vector<JobStep>&)>& mistake) {
    const std::vector<Trained> found = fleet.train(all, 16, 300, mistake);
    size_t differ = 0;
    for (size_t m = 0; m < all.size(); ++m) differ += found[m].row.equal(alone[m].row) ? 0 : 1;
    return differ;
  };
  EXPECT_EQ(differing({}), 0U);
  // Sequences that read and train another job's row.
  EXPECT_GE(differing([](std::vector<JobStep>& steps) {
              if (steps.size() < 2) return;
              for (Sequence& sequence : steps[0].sequences) sequence.slot = steps[1].slot;
              for (Sequence& sequence : steps[1].sequences) sequence.slot = steps[0].slot;
            }),
            2U);
  // All at the step of the first.
  EXPECT_GE(differing([](std::vector<JobStep>& steps) {
              for (JobStep& step : steps) step.step = steps.front().step;
            }),
            1U);
}

TEST_P(StepEngineTest, AJobThatFailsKeepsItsRowAndLeavesTheOthersTheirBits) {
  std::vector<Member> all = members();
  all[1].train.learning_rate = all[1].train.head_learning_rate = {1e30};
  all[1].train.warmup_steps = 0;
  all[1].train.max_grad_norm = 0;
  const std::vector<Trained> together = fleet.train(all, 16, 300);
  ASSERT_TRUE(together[1].state.ended);
  EXPECT_LT(together[1].state.step, all[1].train.max_steps);
  EXPECT_NE(together[1].state.ended->reason.find("expected a finite loss and gradient, found "), std::string::npos);
  Member before = all[1];
  before.leaves = together[1].state.step;
  EXPECT_TRUE(together[1].row.equal(fleet.alone(before).row));
  for (size_t m = 0; m < all.size(); ++m) {
    if (m == 1) continue;
    EXPECT_TRUE(together[m].row.equal(fleet.alone(all[m]).row)) << "job " << m;
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, StepEngineTest,
                         testing::Values(EngineCase{"tiny_paper", torch::kFloat32},
                                         EngineCase{"tiny_paper", torch::kBFloat16},
                                         EngineCase{"tiny_llama", torch::kFloat32}),
                         [](const auto& info) {
                           const bool bf16 = info.param.dtype == torch::kBFloat16;
                           return concat(info.param.model, bf16 ? "_bfloat16" : "");
                         });

/// Banks of one, which jobs bring with them, with heads of four widths: in one forward, slots used again.
TEST(StepEngineBanksTest, JobsWithHeadsOfTheirOwnHaveTheBitsOfEachAlone) {
  if (!row_invariant(torch::kFloat32)) GTEST_SKIP() << "rows of this machine's GEMM depend on the batch";
  const test::OracleCase oracle("tiny_paper", "trajectory.safetensors");
  const Fleet fleet(oracle, torch::kFloat32, "lora_xs", /*own_banks=*/true);
  std::vector<Member> members;
  for (int64_t m = 0; m < 8; ++m) {
    TrainRecipe train;
    train.batch_size = 2 + m % 3;
    train.max_steps = 4 + m;
    train.learning_rate = {1e-3 * static_cast<double>(1 + m)};
    members.push_back({.seed = m,
                       .train = train,
                       .examples = test::examples_of(oracle, m % 3, 1 + m % 2),
                       .outputs = oracle.layout.head.outputs + m % 4,
                       .joins = m % 2});
  }
  std::vector<Trained> alone;
  for (const Member& member : members) alone.push_back(fleet.alone(member));
  const auto differing = [&](int64_t rows, const std::function<void(std::vector<JobStep>&)>& mistake) {
    const std::vector<Trained> together = fleet.train(members, rows, 300, mistake);
    size_t differ = 0;
    for (size_t m = 0; m < members.size(); ++m) differ += together[m].row.equal(alone[m].row) ? 0 : 1;
    return differ;
  };
  for (const int64_t rows : {1, 3, 16}) EXPECT_EQ(differing(rows, {}), 0U) << rows;
  // Control: the rows of two users swapped.
  EXPECT_GE(differing(16,
                      [](std::vector<JobStep>& steps) {
                        if (steps.size() < 5) return;
                        for (Sequence& sequence : steps[0].sequences) sequence.slot = steps[4].slot;
                        for (Sequence& sequence : steps[4].sequences) sequence.slot = steps[0].slot;
                      }),
            2U);
  for (size_t m = 0; m < members.size(); ++m) {
    EXPECT_GT(test::relative_error(alone[m].row, fleet.first_row(members[m].seed, members[m].outputs)), 1e-4);
  }
}

/// Its penalty and pruning are ATen's, whose sums follow where a row stands in memory: no bits are promised.
TEST(StepEngineRowsTest, AdaLoraJobsOfOtherLengthsPruneByTheirOwnSteps) {
  const test::OracleCase oracle("tiny_paper", "trajectory.safetensors");
  const Fleet fleet(oracle, torch::kFloat64, "adalora");
  std::vector<Member> members;
  for (int64_t m = 0; m < 4; ++m) {
    TrainRecipe train;
    train.batch_size = 4;
    train.max_steps = 5 + m;
    members.push_back({.seed = m, .train = train, .examples = test::examples_of(oracle, m), .joins = m % 2});
  }
  const std::vector<Trained> together = fleet.train(members, 4, 100);
  for (int64_t m = 0; m < 4; ++m) {
    EXPECT_TRUE(test::close(together[m].row, fleet.alone(members[m]).row, 1e-9)) << m;
    Member longer = members[m];
    longer.train.max_steps = 12;
    longer.leaves = members[m].train.max_steps;
    EXPECT_FALSE(test::close(together[m].row, fleet.alone(longer).row, 1e-3)) << m;  // control: another budget of ranks
  }
}

TEST(StepEngineRowsTest, OneRowForOneJob) {
  const test::OracleCase oracle("tiny_paper", "trajectory.safetensors");
  const auto bank = oracle.bank(torch::kFloat32);
  AdaptedModel model = oracle.adapted(bank, torch::kFloat32);
  StepEngine engine(model, 300);
  const torch::Tensor row = torch::rand({bank->layout->row_size});
  EXPECT_EQ(engine.join(row), 0);
  EXPECT_TRUE(engine.row(0).equal(row));
  EXPECT_THROW(engine.join(row), c10::Error);
  JobStep step{.slot = 0, .sequences = oracle.sequences(), .rates = {{0, bank->layout->row_size, 1e-3}}};
  EXPECT_THROW(engine.step(std::span(&step, 1)), c10::Error);  // no pieces
  step.sequences.resize(4);
  step.pieces = {{.begin = 0, .end = 4, .tokens = 40}};
  EXPECT_THROW(engine.step(std::vector{step, step}), c10::Error);  // one slot twice
  EXPECT_TRUE(engine.step(std::span(&step, 1)).front().failure.empty());
  engine.leave(0);
  EXPECT_THROW(engine.leave(0), c10::Error);
  EXPECT_THROW(engine.step(std::span(&step, 1)), c10::Error);  // nobody's
  EXPECT_EQ(engine.join(row), 0);
  EXPECT_TRUE(engine.row(0).equal(row));
  EXPECT_EQ(engine.rows_of(0).first_moments.abs().max().item<float>(), 0.0F);  // nothing of the job before
}

}  // namespace
}  // namespace loraxs
