// Whole models with everything on a device that is not the CPU, beside the CPU: training, evaluation, generation.
#include "support/other_device.h"

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "generate/cached_model.h"
#include "generate/scheduler.h"
#include "io/error.h"
#include "ops/row_optimizer.h"
#include "support/close.h"
#include "support/oracle.h"
#include "support/random_tensor.h"
#include "train/language_objective.h"
#include "train/step_engine.h"

namespace loraxs {
namespace {

using test::OracleCase;
using test::other_device;

/// The case's adapter, distinct and large, in a bank on a device, and a model around it.
struct Placed {
  std::shared_ptr<Bank> bank;
  AdaptedModel model;

  Placed(const OracleCase& oracle, torch::Device device, torch::ScalarType dtype = torch::kFloat32, double dropout = 0)
      : bank(bank_on(oracle, device, dtype)),
        model(with_dropout(oracle.model, dropout), oracle.basis, AdapterSet::of_bank(bank), dtype, device) {}

  static std::shared_ptr<Bank> bank_on(const OracleCase& oracle, torch::Device device, torch::ScalarType dtype) {
    auto bank = oracle.bank(dtype);
    bank->values = bank->values.to(device);
    bank->gradients = bank->gradients.to(device);
    return bank;
  }
  static BaseModel with_dropout(BaseModel model, double dropout) {
    model.config.disable_dropout();
    model.config.attention_dropout = dropout;
    if (model.architecture->kind == ModelKind::kDecoder) return model;
    model.config.hidden_dropout = model.config.attention_output_dropout = model.config.classifier_dropout = dropout;
    return model;
  }
};

ObjectiveValue loss_of(AdaptedModel& model, const PackedBatch& batch) {
  if (model.generates()) return language_objective(model, batch);
  return objective(model.logits(batch, /*training=*/true), batch);
}

struct TrainedSteps {
  torch::Tensor losses, gradients, rows;  // of all steps; gradients of the first
  test::Crossings last;                   // of the last step, batch and all
};

TrainedSteps train_on(const OracleCase& oracle, torch::Device device, torch::ScalarType dtype, double dropout,
                      int64_t activation_limit) {
  Placed placed(oracle, device, dtype, dropout);
  placed.model.limit_activations(activation_limit);
  const Bank& bank = *placed.bank;
  const OptimizerRows rows{bank.values, bank.gradients, torch::zeros_like(bank.values), torch::zeros_like(bank.values)};
  std::vector<Sequence> sequences = oracle.sequences();
  weigh_step(sequences);
  TrainedSteps trained;
  std::vector<double> losses;
  for (int64_t step = 1; step <= 2; ++step) {
    test::reset_crossings();
    for (Sequence& sequence : sequences) sequence.step = step;
    const ObjectiveValue loss = loss_of(placed.model, pack(sequences));
    loss.total.backward();
    losses.push_back(loss.job_losses().front());
    if (step == 1) trained.gradients = bank.gradients.cpu().clone();
    if (step == 1) test::reset_crossings();
    adamw_steps_({{.rows = &rows, .adapter = 0, .step = step, .segments = {{0, bank.layout->row_size, 1e-3}}}});
    trained.last = test::crossings();
  }
  trained.losses = torch::tensor(losses, torch::kFloat64);
  trained.rows = bank.values.cpu();
  return trained;
}

class ElsewhereTest : public testing::TestWithParam<const char*> {};

TEST_P(ElsewhereTest, TrainingStepsEqualTheCpus) {
  const OracleCase oracle(GetParam());
  const bool decoder = oracle.model.architecture->kind == ModelKind::kDecoder;
  for (const double dropout : {0.0, 0.2}) {
    for (const int64_t limit : {-1, 0}) {
      if (limit == 0 && !decoder) continue;  // layers computed again
      SCOPED_TRACE(concat("dropout ", dropout, ", activations ", limit));
      const TrainedSteps here = train_on(oracle, torch::kCPU, torch::kFloat32, dropout, limit),
                         there = train_on(oracle, other_device(), torch::kFloat32, dropout, limit),
                         exact = train_on(oracle, torch::kCPU, torch::kFloat64, dropout, limit);
      EXPECT_TRUE(test::close(there.losses, here.losses, 1e-5));
      EXPECT_TRUE(test::close(there.rows, here.rows, 1e-5));
      // A gradient of float32 is known to either side no better than its rounding, which in some models is above 1e-5.
      const double rounding = test::relative_error(here.gradients, exact.gradients);
      EXPECT_TRUE(test::close(there.gradients, here.gradients, std::max(1e-5, 2 * rounding))) << rounding;
      const TrainedSteps exact_there = train_on(oracle, other_device(), torch::kFloat64, dropout, limit);
      EXPECT_TRUE(test::close(exact_there.losses, exact.losses, 1e-10));
      EXPECT_TRUE(test::close(exact_there.gradients, exact.gradients, 1e-10));
      EXPECT_TRUE(test::close(exact_there.rows, exact.rows, 1e-10));
      EXPECT_FALSE(test::close(there.rows, oracle.bank(torch::kFloat32)->values, 1e-4)) << "control: rows moved";
      // The batch goes over as one, with an encoder's targets and weights; losses and norms come back.
      EXPECT_GT(there.last.operators, 100);
      EXPECT_EQ(there.last.uploads, decoder ? 1 : 3);
      EXPECT_EQ(there.last.downloads, 2);
      EXPECT_EQ(here.last.operators, 0);
    }
  }
}

TEST_P(ElsewhereTest, LogitsEqualTheCpus) {
  const OracleCase oracle(GetParam());
  torch::NoGradGuard no_grad;
  const auto logits_on = [&](torch::Device device, double factor) {
    Placed placed(oracle, device);
    placed.bank->values.narrow(1, 0, oracle.layout.adapter_numbers).mul_(factor);
    if (placed.model.generates()) return placed.model.token_logits(pack(oracle.sequences(), Ask::kAll)).cpu();
    return placed.model.logits(pack(oracle.sequences()), /*training=*/false).values.cpu();
  };
  const torch::Tensor here = logits_on(torch::kCPU, 1);
  EXPECT_LE(test::largest_error(logits_on(other_device(), 1), here), 1e-5);
  EXPECT_GT(test::largest_error(logits_on(other_device(), 0), here), 1e-3);  // control: the adapter matters
}

TEST_P(ElsewhereTest, WhatIsLeftOnTheCpuIsRefused) {
  const OracleCase oracle(GetParam());
  Placed placed(oracle, other_device());
  const PackedBatch batch = pack(oracle.sequences());
  EXPECT_NO_THROW(loss_of(placed.model, batch));
  placed.bank->values = placed.bank->values.cpu();
  EXPECT_THROW(loss_of(placed.model, batch), c10::Error);
}

INSTANTIATE_TEST_SUITE_P(Models, ElsewhereTest,
                         testing::Values("tiny_paper", "tiny_all_linear", "tiny_regression", "tiny_roberta",
                                         "tiny_distilbert", "tiny_llama", "tiny_mistral", "tiny_qwen3", "tiny_gemma"),
                         [](const auto& info) { return std::string(info.param); });

std::vector<std::vector<int32_t>> answers_on(const OracleCase& oracle, torch::Device device) {
  Placed placed(oracle, device);
  CachedModel cached(placed.model, /*blocks=*/64);
  Scheduler scheduler(cached, {.context = 128, .tokens_per_step = 24, .max_sequences = 3});
  const std::vector<Sequence> sequences = oracle.sequences();
  std::vector<std::vector<int32_t>> answers(sequences.size());
  for (size_t i = 0; i < sequences.size(); ++i) {
    scheduler.submit({.prompt = sequences[i].input_ids,
                      .slot = i % 2 == 0 ? 0 : kNoSlot,
                      .max_new_tokens = 12,
                      .on_token = [&answer = answers[i]](int64_t, const SampledToken& token) {
                        answer.push_back(token.id);
                        return true;
                      }});
  }
  do {
    test::reset_crossings();
  } while (scheduler.step() &&
           (device.is_cpu() || (test::crossings().uploads == 1 && test::crossings().downloads == 1)));
  return answers;
}

class ElsewhereAnswersTest : public testing::TestWithParam<const char*> {};

TEST_P(ElsewhereAnswersTest, AnswersEqualTheCpusOneUploadAndOneDownloadAStep) {
  const OracleCase oracle(GetParam());
  const auto here = answers_on(oracle, torch::kCPU);
  EXPECT_EQ(answers_on(oracle, other_device()), here);
  for (const auto& answer : here) EXPECT_EQ(answer.size(), 12U);
}

/// A step of one job cut into single sequences: losses of all its pieces come back at once, norms once.
TEST(ElsewhereStepTest, AStepOfManyPiecesFetchesLossesAndNormsOnce) {
  const OracleCase oracle("tiny_llama");
  const auto step_on = [&](torch::Device device) {
    Placed placed(oracle, device);
    StepEngine engine(placed.model, /*tokens_per_batch=*/1);
    JobStep job{.slot = engine.join(placed.bank->values.select(0, 0).clone()),
                .sequences = oracle.sequences(),
                .rates = {{0, oracle.layout.row_size, 1e-3}}};
    weigh_step(job.sequences);
    std::vector<int64_t> lengths;
    for (const Sequence& sequence : job.sequences) {
      lengths.push_back(static_cast<int64_t>(sequence.input_ids.size()));
    }
    job.pieces = cut_step(lengths, /*tokens=*/1, /*parts=*/1);
    EXPECT_GT(job.pieces.size(), 2U);
    test::reset_crossings();
    const std::vector<StepOutcome> outcomes = engine.step(std::span(&job, 1));
    EXPECT_EQ(test::crossings().downloads, device.is_cpu() ? 0 : 2);
    return std::pair(torch::tensor({outcomes[0].loss, outcomes[0].norm}, torch::kFloat64), engine.row(0).cpu());
  };
  const auto here = step_on(torch::kCPU), there = step_on(other_device());
  EXPECT_TRUE(test::close(there.first, here.first, 1e-5));
  EXPECT_TRUE(test::close(there.second, here.second, 1e-5));
}

/// AdaLoRA's penalty and pruning with all of their state elsewhere.
TEST(ElsewhereStepTest, PruningWaitsForThePenaltyAlone) {
  const std::vector<Site> sites = {{.name = "layers.0.query", .in_features = 9, .out_features = 7},
                                   {.name = "layers.0.value", .in_features = 9, .out_features = 7}};
  const Layout layout = make_layout("adalora", sites, /*rank=*/4, {}, /*hidden_size=*/9, "test");
  constexpr int64_t kSteps = 6;
  const RankAllocator allocator(layout, {.target_rank = 2, .initial_steps = 1, .final_steps = 2}, kSteps);
  const auto prune_on = [&](torch::Device device) {
    torch::Tensor row = test::normal({layout.row_size}, 1).to(device);
    const RankMemory memory{torch::zeros({layout.adapter_numbers}, row.options()),
                            torch::zeros({layout.adapter_numbers}, row.options())};
    double penalty = 0;
    for (int64_t step = 1; step <= kSteps; ++step) {
      torch::Tensor gradient = test::normal({layout.row_size}, 10 + step).to(device);
      test::reset_crossings();
      penalty += allocator.add_penalty_(row, gradient);
      allocator.prune_(row, gradient, memory, step);
      EXPECT_EQ(test::crossings().downloads, device.is_cpu() ? 0 : 1) << "step " << step;
    }
    return std::pair(torch::tensor({penalty}, torch::kFloat64), row.cpu());
  };
  const auto here = prune_on(torch::kCPU), there = prune_on(other_device());
  EXPECT_TRUE(test::close(there.first, here.first, 1e-5));
  EXPECT_TRUE(test::close(there.second, here.second, 1e-5));
  EXPECT_EQ(here.second.eq(0).sum().item<int64_t>(), there.second.eq(0).sum().item<int64_t>());
  EXPECT_GE(here.second.eq(0).sum().item<int64_t>(), 4) << "control: half of the triples lost their d";
}

INSTANTIATE_TEST_SUITE_P(Models, ElsewhereAnswersTest, testing::Values("tiny_llama", "tiny_mistral", "tiny_qwen3"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace loraxs
