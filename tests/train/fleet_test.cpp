// Jobs of one bank against each alone: results must not depend on neighbours.
#include <gtest/gtest.h>
#include <torch/csrc/autograd/custom_function.h>

#include "ops/frozen_gemm.h"
#include "ops/row_optimizer.h"
#include "support/close.h"
#include "support/oracle.h"
#include "train/job.h"
#include "train/objective.h"

namespace loraxs {
namespace {

constexpr int64_t kJobs = 8, kSteps = 50, kBatch = 8;

std::vector<Job> make_test_jobs() {
  TrainRecipe train;
  train.seeds.clear();
  for (int64_t seed = 0; seed < kJobs; ++seed) train.seeds.push_back(seed);
  return make_jobs(train, "test");
}

/// A bank for `jobs`, each with a large R of its own.
std::shared_ptr<Bank> start_bank(const test::OracleCase& oracle, const std::vector<Job>& jobs) {
  auto bank = std::make_shared<Bank>(make_bank(oracle.layout, 16, static_cast<int64_t>(jobs.size())));
  for (size_t j = 0; j < jobs.size(); ++j) {
    initialize_row(*bank, static_cast<int64_t>(j), jobs[j].key, /*init_std=*/0.3, /*head_std=*/0.3, {});
  }
  bank->gradients = torch::zeros_like(bank->values);
  return bank;
}

/// `steps` training steps with dropout; returns the bank's rows [jobs, row].
torch::Tensor train_rows(const test::OracleCase& oracle, const std::vector<Job>& jobs, uint64_t dropout_salt = 0) {
  const auto bank = start_bank(oracle, jobs);
  AdaptedModel model(oracle.model, oracle.basis, AdapterSet::of_bank(bank),
                     torch::kFloat32);  // dropout as in config.json: 0.1
  const OptimizerRows rows{bank->values, bank->gradients, torch::zeros_like(bank->values),
                           torch::zeros_like(bank->values)};
  const std::vector<Sequence> examples = oracle.sequences();
  const auto count = static_cast<int64_t>(examples.size());
  for (int64_t step = 0; step < kSteps; ++step) {
    std::vector<Sequence> sequences;
    for (size_t j = 0; j < jobs.size(); ++j) {
      const std::vector<int64_t> order = epoch_order(jobs[j], step, count);
      for (int64_t i = 0; i < kBatch; ++i) {
        Sequence sequence = examples[order[i]];
        sequence.slot = static_cast<int64_t>(j);
        sequence.seed = jobs[j].key + dropout_salt;
        sequence.step = step;
        sequences.push_back(std::move(sequence));
      }
    }
    const PackedBatch batch = pack(sequences);
    objective(model.logits(batch, true), batch, false).total.backward();
    const RateSegment rate{0, bank->layout.row_size, 1e-2};
    for (size_t j = 0; j < jobs.size(); ++j)
      adamw_step_(rows, static_cast<int64_t>(j), step + 1, std::span(&rate, 1), AdamWConfig{});
  }
  return bank->values;
}

TEST(FleetTest, EightJobsInOneBankEqualEachAloneBitForBit) {
  const test::OracleCase oracle("tiny_paper", "trajectory.safetensors");
  const std::vector<Job> jobs = make_test_jobs();
  const torch::Tensor together = train_rows(oracle, jobs);
  const bool bits = row_invariant(torch::kFloat32);
  RecordProperty("promise", bits ? "bits" : "1e-5: this machine's GEMM rows depend on the batch");
  for (int64_t j = 0; j < kJobs; ++j) {
    const torch::Tensor alone = train_rows(oracle, {jobs[j]});
    if (bits) {
      EXPECT_TRUE(alone.select(0, 0).equal(together.select(0, j)))
          << "job " << j << ", relative error " << test::relative_error(alone.select(0, 0), together.select(0, j));
    } else {
      EXPECT_TRUE(test::close(alone.select(0, 0), together.select(0, j), 1e-5)) << "job " << j;
    }
    // Control: another job's row is another row.
    EXPECT_GT(test::relative_error(alone.select(0, 0), together.select(0, (j + 1) % kJobs)), 0.1);
  }
  // Control: other dropout masks change the rows, so the masks above were the same ones.
  EXPECT_FALSE(train_rows(oracle, {jobs[0]}, 1).select(0, 0).equal(together.select(0, 0)));
}

}  // namespace
}  // namespace loraxs
