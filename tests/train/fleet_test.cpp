// Jobs of one bank against each alone: results must not depend on neighbours.
#include <gtest/gtest.h>
#include <torch/csrc/autograd/custom_function.h>

#include "batch/micro_batches.h"
#include "io/error.h"
#include "ops/frozen_gemm.h"
#include "ops/row_optimizer.h"
#include "support/close.h"
#include "support/oracle.h"
#include "train/job.h"
#include "train/objective.h"

namespace loraxs {
namespace {

constexpr int64_t kJobs = 8, kSteps = 12, kBatch = 8;

std::vector<Job> make_test_jobs() {
  TrainRecipe train;
  train.seeds.clear();
  for (int64_t seed = 0; seed < kJobs; ++seed) train.seeds.push_back(seed);
  return make_jobs(train, "test");
}

/// A bank for `jobs`, each with a large R of its own.
std::shared_ptr<Bank> start_bank(const test::OracleCase& oracle, const std::vector<Job>& jobs,
                                 torch::ScalarType dtype) {
  const auto rows = dtype == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  auto bank = std::make_shared<Bank>(make_bank(oracle.layout, 16, static_cast<int64_t>(jobs.size()), rows));
  for (size_t j = 0; j < jobs.size(); ++j) {
    initialize_row(*bank, static_cast<int64_t>(j), {.job_seed = jobs[j].key, .init_std = 0.3}, /*head_std=*/0.3, {});
  }
  bank->gradients = torch::zeros_like(bank->values);
  return bank;
}

/// How a step is cut into micro-batches.
struct Cut {
  int64_t tokens = 1 << 20;  // of one micro-batch
  int64_t parts = 1;         // of one job's step, at least
};

/// The gradients of one step of every job, summed over micro-batches; returns the number of micro-batches.
size_t accumulate_step(AdaptedModel& model, std::vector<std::vector<Sequence>> step, const Cut& cut) {
  std::vector<std::vector<int64_t>> lengths(step.size());
  for (size_t j = 0; j < step.size(); ++j) {
    weigh_step(step[j]);
    for (const Sequence& sequence : step[j]) lengths[j].push_back(static_cast<int64_t>(sequence.input_ids.size()));
  }
  const auto plan = plan_micro_batches(lengths, cut.tokens, cut.parts);
  for (const auto& pieces : plan) {
    std::vector<Sequence> sequences;
    for (const BatchPiece& piece : pieces) {
      const auto first = step[piece.job].begin();
      sequences.insert(sequences.end(), first + piece.begin, first + piece.end);
    }
    const PackedBatch batch = pack(sequences);
    objective(model.logits(batch, true), batch).total.backward();
  }
  return plan.size();
}

/// `steps` training steps with dropout; returns the bank's rows [jobs, row].
torch::Tensor train_rows(const test::OracleCase& oracle, const std::vector<Job>& jobs, torch::ScalarType dtype,
                         const Cut& cut = {}, uint64_t dropout_salt = 0) {
  const auto bank = start_bank(oracle, jobs, dtype);
  AdaptedModel model(oracle.model, oracle.basis, AdapterSet::of_bank(bank),
                     dtype);  // dropout as in config.json: 0.1
  const OptimizerRows rows{bank->values, bank->gradients, torch::zeros_like(bank->values),
                           torch::zeros_like(bank->values)};
  const std::vector<Sequence> examples = oracle.sequences();
  const auto count = static_cast<int64_t>(examples.size());
  for (int64_t step = 0; step < kSteps; ++step) {
    std::vector<std::vector<Sequence>> batches(jobs.size());
    for (size_t j = 0; j < jobs.size(); ++j) {
      const std::vector<int64_t> order = epoch_order(jobs[j], step, count);
      for (int64_t i = 0; i < kBatch; ++i) {
        Sequence sequence = examples[order[i]];
        sequence.slot = static_cast<int64_t>(j);
        sequence.seed = jobs[j].key + dropout_salt;
        sequence.step = step;
        batches[j].push_back(std::move(sequence));
      }
    }
    accumulate_step(model, std::move(batches), cut);
    const RateSegment rate{0, bank->layout->row_size, 1e-2};
    for (size_t j = 0; j < jobs.size(); ++j)
      adamw_step_(rows, static_cast<int64_t>(j), step + 1, std::span(&rate, 1), AdamWConfig{});
  }
  return bank->values;
}

constexpr Cut kCuts[] = {{}, {.tokens = 300}, {.tokens = 40}, {.tokens = 300, .parts = 4}};

void expect_bits_in_every_cut(torch::ScalarType dtype, std::span<const Cut> cuts) {
  if (!row_invariant(dtype)) GTEST_SKIP() << "rows of this machine's " << dtype << " GEMM depend on the batch";
  const test::OracleCase oracle("tiny_paper", "trajectory.safetensors");
  const std::vector<Job> jobs = make_test_jobs();
  torch::Tensor whole;
  for (const Cut& cut : cuts) {
    SCOPED_TRACE(concat("tokens ", cut.tokens, " parts ", cut.parts));
    const torch::Tensor together = train_rows(oracle, jobs, dtype, cut);
    for (const int64_t j : {0, 3, 7}) {
      const torch::Tensor alone = train_rows(oracle, {jobs[j]}, dtype, cut);
      EXPECT_TRUE(alone.select(0, 0).equal(together.select(0, j)))
          << "job " << j << ", relative error " << test::relative_error(alone.select(0, 0), together.select(0, j));
      // Control: another job's row is another row.
      EXPECT_GT(test::relative_error(alone.select(0, 0), together.select(0, (j + 1) % kJobs)), 0.1);
    }
    if (!whole.defined()) whole = together;
    if (cut.parts == 1 && cut.tokens >= 300) {  // only groups jobs otherwise
      EXPECT_TRUE(together.equal(whole));
    }
  }
  // Control: other dropout masks change the rows, so the masks above were the same ones.
  EXPECT_FALSE(train_rows(oracle, {jobs[0]}, dtype, {}, 1).select(0, 0).equal(whole.select(0, 0)));
}

TEST(FleetTest, EightJobsInOneBankEqualEachAloneBitForBit) { expect_bits_in_every_cut(torch::kFloat32, kCuts); }

TEST(FleetTest, EightJobsInOneBfloatBankEqualEachAloneBitForBit) {
  expect_bits_in_every_cut(torch::kBFloat16, std::span(kCuts).first(2));
}

/// A step cut elsewhere adds in another order, and steps multiply what that rounds: float64 tells it from a mistake.
TEST(FleetTest, AnyCutTrainsTheSameRowsOnEveryMachine) {
  const test::OracleCase oracle("tiny_paper", "trajectory.safetensors");
  const std::vector<Job> jobs = make_test_jobs();
  const torch::Tensor whole = train_rows(oracle, jobs, torch::kFloat64);
  EXPECT_TRUE(test::close(train_rows(oracle, jobs, torch::kFloat64, kCuts[3]), whole, 1e-9));
  EXPECT_TRUE(test::close(train_rows(oracle, {jobs[3]}, torch::kFloat64)[0], whole[3], 1e-9));
  EXPECT_FALSE(test::close(train_rows(oracle, {jobs[3]}, torch::kFloat64, {}, 1)[0], whole[3], 1e-5));  // control
}

TEST(FleetTest, OneBatchOf13HasTheGradientOfFourUnequalOnes) {
  const test::OracleCase oracle("tiny_paper", "trajectory.safetensors");
  std::vector<Sequence> step = oracle.sequences();
  step.resize(13);
  const auto bank = oracle.bank(torch::kFloat32);
  AdaptedModel model = oracle.adapted(bank, torch::kFloat32);
  const auto gradient = [&](const Cut& cut, size_t batches) {
    bank->gradients.zero_();
    EXPECT_EQ(accumulate_step(model, {step}, cut), batches);
    return bank->gradients.clone();
  };
  const torch::Tensor once = gradient({}, 1);
  EXPECT_LE(test::relative_error(gradient({.parts = 4}, 4), once), 1e-6);
  EXPECT_LE(test::relative_error(gradient({.parts = 16}, 13), once), 1e-6);
  // Control: weights from each micro-batch, not from the step, give another gradient.
  bank->gradients.zero_();
  for (const int64_t begin : {0, 4, 8, 12}) {
    const int64_t end = std::min<int64_t>(begin + 4, 13);
    accumulate_step(model, {std::vector<Sequence>(step.begin() + begin, step.begin() + end)}, {});
  }
  EXPECT_GT(test::relative_error(bank->gradients / 4, once), 1e-2);
}

}  // namespace
}  // namespace loraxs
