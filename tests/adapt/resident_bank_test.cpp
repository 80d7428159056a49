#include "adapt/resident_bank.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

#include "io/error.h"
#include "io/seeds.h"
#include "support/expect_error.h"

namespace loraxs {
namespace {

Layout layout_of(int64_t rank, int64_t sites = 2) {
  const std::vector<Site> all = {{.name = "layers.0.query", .in_features = 8, .out_features = 8},
                                 {.name = "layers.0.value", .in_features = 8, .out_features = 8}};
  return make_layout("lora_xs", {all.begin(), all.begin() + sites}, rank, {}, /*hidden_size=*/8, "test");
}

ResidentKind kind_of(int64_t rank = 2) { return {std::make_shared<const Layout>(layout_of(rank)), "basis-1"}; }

std::shared_ptr<ResidentBank> bank_of(int64_t rows) {
  const ResidentKind kind = kind_of();
  return std::make_shared<ResidentBank>(kind, rows * kind.layout->row_size * 4 + 3);  // and not quite one more
}

std::string digest_of(int64_t adapter) { return "digest-" + std::to_string(adapter); }

/// Rows full of the adapter's number.
RowLoader loader_of(int64_t adapter) {
  return [adapter](std::span<float> row) {
    std::fill(row.begin(), row.end(), static_cast<float>(adapter));
    return BankEntry{.alpha = static_cast<double>(adapter)};
  };
}

std::shared_ptr<const PinnedRow> pinned(ResidentBank& bank, int64_t adapter) {
  auto pin = bank.pin(digest_of(adapter), loader_of(adapter));
  if (pin) pin->wait();
  return pin;
}

/// The adapter whose numbers stand in a place; -1: of none or several.
int64_t adapter_in(const ResidentBank& bank, const PinnedRow& pin) {
  const AdapterSet set = bank.set();
  const torch::Tensor row = set.banks.front()->values.select(0, set.slots.at(pin.slot()).row);
  const auto first = row[0].item<float>();
  const bool whole = row.eq(first).all().item<bool>() && set.banks.front()->alpha(pin.slot()) == first;
  return whole ? static_cast<int64_t>(first) : -1;
}

TEST(ResidentBankTest, RowsAreFoundByDigestAndTheLongestIdleOneGoes) {
  const auto bank = bank_of(3);
  EXPECT_EQ(bank->capacity(), 3);
  for (const int64_t adapter : {1, 2, 3}) EXPECT_EQ(adapter_in(*bank, *pinned(*bank, adapter)), adapter);
  EXPECT_EQ(bank->num_loads(), 3);
  EXPECT_EQ(adapter_in(*bank, *pinned(*bank, 1)), 1);  // now 2 is the longest idle
  EXPECT_EQ(bank->num_loads(), 3);
  EXPECT_EQ(adapter_in(*bank, *pinned(*bank, 4)), 4);
  for (const int64_t adapter : {1, 3, 4}) EXPECT_EQ(adapter_in(*bank, *pinned(*bank, adapter)), adapter);
  EXPECT_EQ(bank->num_loads(), 4);
  EXPECT_EQ(adapter_in(*bank, *pinned(*bank, 2)), 2);
  EXPECT_EQ(bank->num_loads(), 5);
}

TEST(ResidentBankTest, PinnedPlacesKeepTheirAdapterHoweverManyPass) {
  const auto bank = bank_of(4);
  std::vector<std::shared_ptr<const PinnedRow>> pins;
  for (const int64_t adapter : {1, 2, 3}) pins.push_back(pinned(*bank, adapter));
  const int64_t idle = pinned(*bank, 4)->slot();
  for (int64_t adapter = 100; adapter < 2000; ++adapter) {
    const auto passing = pinned(*bank, adapter);
    ASSERT_EQ(passing->slot(), idle);
    ASSERT_EQ(adapter_in(*bank, *passing), adapter);
  }
  for (int64_t adapter = 1; adapter <= 3; ++adapter) EXPECT_EQ(adapter_in(*bank, *pins[adapter - 1]), adapter);
  const auto last = pinned(*bank, 5), again = pinned(*bank, 5);
  EXPECT_EQ(again->slot(), last->slot());
  EXPECT_EQ(bank->pin(digest_of(6), loader_of(6)), nullptr) << "all places are pinned";
  EXPECT_EQ(adapter_in(*bank, *pinned(*bank, 1)), 1) << "what is there can be pinned again";
  const int64_t place = pins.front()->slot();
  pins.front().reset();  // control: what nobody pins is overwritten
  EXPECT_EQ(pinned(*bank, 6)->slot(), place);
}

TEST(ResidentBankTest, AFailedLoadIsItsAdaptersAloneAndTriedAgain) {
  const auto bank = bank_of(2);
  const auto other = pinned(*bank, 1);
  auto failed = bank->pin(digest_of(2), [](std::span<float> row) -> BankEntry {
    row[0] = 7;
    throw Error("store: anna/support: expected a whole row, found another checksum");
  });
  EXPECT_ERROR(failed->wait(), "anna/support: expected a whole row");
  EXPECT_TRUE(failed->ready());
  EXPECT_EQ(bank->pin(digest_of(2), loader_of(2)), nullptr) << "its place is pinned until who waited lets go";
  failed.reset();
  EXPECT_EQ(adapter_in(*bank, *pinned(*bank, 2)), 2);
  EXPECT_EQ(adapter_in(*bank, *other), 1);
  EXPECT_EQ(bank->num_loads(), 2);
}

TEST(ResidentBankTest, APlaceWhoseLoadIsUnderWayIsNobodyElses) {
  const auto bank = bank_of(1);
  std::promise<void> begun, go_on;
  auto abandoned = bank->pin(digest_of(1), [&](std::span<float> row) {
    begun.set_value();
    go_on.get_future().wait();
    return loader_of(1)(row);
  });
  begun.get_future().wait();
  EXPECT_FALSE(abandoned->ready());
  abandoned.reset();  // as a request that is cancelled
  EXPECT_EQ(bank->pin(digest_of(2), loader_of(2)), nullptr);
  const auto joined = bank->pin(digest_of(1), loader_of(9));
  go_on.set_value();
  joined->wait();
  EXPECT_EQ(adapter_in(*bank, *joined), 1) << "one load for all who ask";
}

TEST(ResidentBankTest, ThreadsSeeWholeRowsOfTheirOwnAdapter) {
  const auto bank = bank_of(6);
  std::atomic<int64_t> wrong = 0, seen = 0;
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (uint32_t i = 0; i < 1500; ++i) {
        const int64_t adapter = philox({i, 0, 0, 0}, t)[0] % 20 + 1;
        const auto pin = pinned(*bank, adapter);
        if (!pin) continue;  // four threads pin four places at most: never
        ++seen;
        wrong += adapter_in(*bank, *pin) == adapter ? 0 : 1;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(seen, 4 * 1500);
  EXPECT_LT(bank->num_loads(), seen);
}

TEST(ResidentBankTest, AnotherKindIsRefusedInOneSentence) {
  const ResidentKind kind = kind_of(/*rank=*/2);
  EXPECT_NO_THROW(kind.check("anna/support", layout_of(2), "basis-1"));
  EXPECT_ERROR(kind.check("anna/support", layout_of(2), "basis-2"),
               "anna/support: expected an adapter on basis basis-1, that of the rows in use, found one on basis-2; "
               "adapters on different bases never share a batch");
  EXPECT_ERROR(kind.check("anna/support", layout_of(4), "basis-1"),
               "anna/support: layers.0.query: expected rank 2, for which rows are reserved, found rank 4");
  EXPECT_ERROR(
      kind.check("anna/support", layout_of(2, /*sites=*/1), "basis-1"),
      "expected lora_xs on 2 sites of rank 2 at most, the layout of the rows in use, found lora_xs on 1 sites");
  const ResidentKind fewer{std::make_shared<const Layout>(layout_of(2, 1)), "basis-1"};
  EXPECT_ERROR(fewer.check("a", layout_of(2), "basis-1"), "layers.0.value: expected no adapter");
  EXPECT_ERROR(ResidentBank(kind, 31), "expected a budget of at least 32 bytes");
}

}  // namespace
}  // namespace loraxs
