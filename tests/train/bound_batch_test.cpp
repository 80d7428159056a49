// One prepared base under several batches, banks and slots: nothing of a batch stands in the model.
#include <gtest/gtest.h>
#include <torch/csrc/autograd/custom_function.h>

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "io/error.h"
#include "ops/frozen_gemm.h"
#include "support/close.h"
#include "support/expect_error.h"
#include "support/oracle.h"
#include "train/language_objective.h"
#include "train/objective.h"

namespace loraxs {
namespace {

constexpr int64_t kRows = 3;

/// A bank of rows that are large and all their own, on one prepared base with dropout as its config has it.
struct Shared {
  const test::OracleCase oracle;
  std::shared_ptr<Bank> bank;
  AdaptedModel model;

  explicit Shared(const std::string& name, bool recomputes = false)
      : oracle(name), bank(make_rows(oracle.layout, oracle.alpha)), model(prepare(oracle, bank)) {
    if (recomputes) model.limit_activations(0);
  }
  static std::shared_ptr<Bank> make_rows(const Layout& layout, double alpha) {
    auto bank = std::make_shared<Bank>(make_bank(layout, alpha, kRows));
    fill_normal(std::span(bank->values.mutable_data_ptr<float>(), bank->values.numel()), 7, 0.3);
    bank->gradients = torch::zeros_like(bank->values);
    return bank;
  }
  static AdaptedModel prepare(const test::OracleCase& oracle, const std::shared_ptr<Bank>& bank) {
    return {oracle.model, oracle.basis, AdapterSet::of_bank(bank), torch::kFloat32};
  }
  /// A step of two sequences of `slot`, from `first` on.
  PackedBatch batch(int64_t slot, int64_t first) const {
    std::vector<Sequence> step = oracle.sequences(slot);
    step = {step[first], step[first + 1]};
    for (Sequence& sequence : step) sequence.seed = 100 + slot;
    weigh_step(step);
    return pack(step);
  }
  torch::Tensor loss(const PackedBatch& batch) const {
    if (model.generates()) return model.token_loss(batch, true).total;
    return objective(model.logits(batch, true), batch).total;
  }
};

/// Two threads that take turns: each runs one of its steps and hands over.
void take_turns(const std::vector<std::function<void()>>& first, const std::vector<std::function<void()>>& second) {
  std::mutex mutex;
  std::condition_variable changed;
  size_t turn = 0;
  const auto run = [&](const std::vector<std::function<void()>>& steps, size_t parity) {
    for (const auto& step : steps) {
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return turn % 2 == parity; });
      step();
      ++turn;
      changed.notify_all();
    }
  };
  std::thread other([&] { run(second, 1); });
  run(first, 0);
  other.join();
}

TEST(BoundBatchTest, BatchesUnderWayTogetherHaveTheBitsOfOneAfterAnother) {
  for (const auto& [name, recomputes] :
       {std::pair{"tiny_all_linear", false}, std::pair{"tiny_llama", false}, std::pair{"tiny_llama", true}}) {
    SCOPED_TRACE(concat(name, recomputes ? ", layers computed again" : ""));
    const Shared f(name, recomputes);
    const PackedBatch one = f.batch(0, 0), two = f.batch(1, 2);
    const auto gradients = [&](const std::function<void()>& run) {
      f.bank->gradients.zero_();
      run();
      return f.bank->gradients.clone();
    };
    const torch::Tensor expected = gradients([&] {
      f.loss(one).backward();
      f.loss(two).backward();
    });
    ASSERT_GT(expected[0].abs().max().item<float>(), 0);
    ASSERT_GT(expected[1].abs().max().item<float>(), 0);
    const auto interleaved = [&](bool first_again) {
      return gradients([&] {
        const torch::Tensor x = f.loss(one), y = f.loss(two);
        (first_again ? x : y).backward();
        (first_again ? y : x).backward();
      });
    };
    EXPECT_TRUE(interleaved(true).equal(expected));
    EXPECT_TRUE(interleaved(false).equal(expected));
    const torch::Tensor threaded = gradients([&] {
      torch::Tensor x, y;
      take_turns({[&] { x = f.loss(one); }, [&] { x.backward(); }}, {[&] { y = f.loss(two); }, [&] { y.backward(); }});
    });
    EXPECT_TRUE(threaded.equal(expected));
    // Control: the other slot's row gets other gradients.
    EXPECT_GT(test::relative_error(gradients([&] { f.loss(f.batch(1, 0)).backward(); })[1], expected[0]), 0.1);
  }
}

TEST(BoundBatchTest, EvaluationBetweenForwardAndBackwardChangesNothing) {
  const Shared f("tiny_llama", /*recomputes=*/true);
  const PackedBatch one = f.batch(0, 0), other = f.batch(2, 2);
  f.loss(one).backward();
  const torch::Tensor expected = f.bank->gradients.clone();
  f.bank->gradients.zero_();
  const torch::Tensor loss = f.loss(one);
  {
    torch::NoGradGuard no_grad;
    f.model.token_loss(other, false);
  }
  loss.backward();
  EXPECT_TRUE(f.bank->gradients.equal(expected));
}

TEST(PreparedModelTest, ServesOtherBanksWithinItsReservation) {
  const test::OracleCase oracle("tiny_llama");
  const auto wide = oracle.bank(torch::kFloat32);
  const AdaptedModel first(oracle.model, oracle.basis, AdapterSet::of_bank(wide), torch::kFloat32);
  // Fewer sites and a smaller rank, on the base prepared for `wide` and on one of its own.
  const std::vector<Site> sites(oracle.layout.sites.begin(), oracle.layout.sites.begin() + 4);
  const Layout layout = make_layout("lora_xs", sites, 2, {}, oracle.model.config.hidden_size, "test");
  const auto narrow = Shared::make_rows(layout, 3);
  const AdaptedModel second(first.prepared(), AdapterSet::of_bank(narrow));
  const AdaptedModel alone(oracle.model, oracle.basis, AdapterSet::of_bank(narrow), torch::kFloat32);
  const PackedBatch batch = pack(oracle.sequences(1));
  torch::NoGradGuard no_grad;
  const torch::Tensor found = second.token_logits(batch), expected = alone.token_logits(batch);
  if (row_invariant(torch::kFloat32)) {
    EXPECT_TRUE(found.equal(expected));
  }
  EXPECT_LE(test::largest_error(found, expected), 1e-5);
  EXPECT_GT(test::largest_error(found, second.token_logits(pack(oracle.sequences(0)))), 1e-3);  // control
}

TEST(PreparedModelTest, NamesWhatWasNotReserved) {
  const test::OracleCase oracle("tiny_llama");
  const auto bank_of = [&](const std::vector<Site>& sites, int64_t rank) {
    return std::make_shared<Bank>(
        make_bank(make_layout("lora_xs", sites, rank, {}, oracle.model.config.hidden_size, "test"), 1, 1));
  };
  const std::vector<Site> query(oracle.layout.sites.begin(), oracle.layout.sites.begin() + 1);
  const AdaptedModel model(oracle.model, oracle.basis, AdapterSet::of_bank(bank_of(query, 2)), torch::kFloat32);
  EXPECT_ERROR(AdaptedModel(model.prepared(), AdapterSet::of_bank(bank_of(query, 3))),
               "layers.0.query: expected an adapter of rank at most 2, for which the base was prepared, found rank 3");
  EXPECT_ERROR(AdaptedModel(model.prepared(), AdapterSet::of_bank(bank_of(oracle.layout.sites, 2))),
               "expected no adapter, for which the base was prepared, found one of rank 2");
}

TEST(PreparedModelTest, BackwardTurnedOnLaterGivesTheSameBits) {
  const Shared f("tiny_llama");
  const auto forward_only = std::make_shared<PreparedModel>(f.oracle.model, f.oracle.basis, Reservation::of({f.bank}),
                                                            PrepareOptions{.both_ways = false});
  const PackedBatch batch = f.batch(0, 0);
  f.loss(batch).backward();
  const torch::Tensor expected = f.bank->gradients.clone();
  f.bank->gradients.zero_();
  const AdaptedModel later(forward_only, AdapterSet::of_bank(f.bank));
  EXPECT_THROW(later.token_loss(batch, true).total.backward(), c10::Error);
  f.bank->gradients.zero_();
  forward_only->prepare_backward(f.oracle.model);
  later.token_loss(batch, true).total.backward();
  EXPECT_TRUE(f.bank->gradients.equal(expected));
}

TEST(BankTest, TakesInAndReplacesRowsAndKeepsWhatTheOthersHave) {
  const test::OracleCase oracle("tiny_llama");
  constexpr int64_t kMany = 10'000;
  Bank bank = make_bank(oracle.layout, 1, 0);
  const torch::Tensor rows = torch::randn({8, oracle.layout.row_size});
  for (int64_t i = 0; i < kMany; ++i) EXPECT_EQ(bank.add(rows[i % 8], {.alpha = static_cast<double>(i + 1)}), i);
  bank.replace(5, rows[0], {.alpha = 0.5});
  bank.set_labels(5, {"a", "b"});
  for (const int64_t i : {int64_t{0}, int64_t{5}, int64_t{4'444}, kMany - 1}) {
    EXPECT_TRUE(bank.values[i].equal(rows[i == 5 ? 0 : i % 8])) << i;
    EXPECT_EQ(bank.alpha(i), i == 5 ? 0.5 : static_cast<double>(i + 1));
    EXPECT_EQ(bank.labels(i).size(), i == 5 ? 2 : 0);
  }
  // What a slot costs beside its row, whatever the number of sites: all of them share one binding.
  EXPECT_LE(sizeof(SlotRef) + sizeof(BankEntry), 64);
  const auto shared = std::make_shared<Bank>(std::move(bank));
  AdapterSet set = AdapterSet::of_bank(shared);
  set.banks.push_back(std::make_shared<Bank>(make_bank(shared->layout, 1, 1)));
  const PreparedModel prepared(oracle.model, oracle.basis, Reservation::of(set.banks), {});
  const SlotTable table = prepared.bind(set);
  EXPECT_EQ(table.banks[0].binding, table.banks[1].binding);
}

}  // namespace
}  // namespace loraxs
