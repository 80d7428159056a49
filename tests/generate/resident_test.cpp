// Adapters that come and go in the rows of a running text model.
#include <gtest/gtest.h>

#include <algorithm>

#include "adapt/resident_bank.h"
#include "api/text_model.h"
#include "io/error.h"
#include "io/seeds.h"
#include "ops/frozen_gemm.h"
#include "support/expect_error.h"
#include "support/oracle.h"

namespace loraxs {
namespace {

using Answer = std::vector<int32_t>;

constexpr int64_t kSequences = 64, kRows = 72, kRank = 8, kNewTokens = 12;

class ResidentTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!row_invariant(torch::kFloat32)) GTEST_SKIP() << "rows of this machine's GEMM depend on the batch";
    auto computed = std::make_shared<Basis>();
    computed->recipe.rank = 2 * kRank;
    sites = list_sites(*text.base().architecture, text.base().config);
    for (const Site& site : sites) {
      computed->sites[site.name] = compute_site_basis(text.base().site_weight(site), site.name, computed->recipe);
    }
    basis = computed;
  }

  std::shared_ptr<const Layout> layout_of(int64_t rank) const {
    return std::make_shared<const Layout>(
        make_layout("lora_xs", sites, rank, {}, text.base().config.hidden_size, "test"));
  }

  static RowLoader loader_of(uint64_t adapter) {
    return [adapter](std::span<float> row) {
      fill_normal(row, 1000 + adapter, 0.4);
      return BankEntry{.alpha = kRank};
    };
  }

  std::shared_ptr<Bank> alone(uint64_t adapter) const {
    auto bank = std::make_shared<Bank>(make_bank(layout_of(kRank), kRank, 1));
    loader_of(adapter)(std::span(bank->values.mutable_data_ptr<float>(), bank->values.numel()));
    return bank;
  }

  static Answer prompt_of(int64_t sequence) {
    Answer prompt;
    for (uint32_t i = 0; i < 5 + sequence % 7; ++i) {
      prompt.push_back(static_cast<int32_t>(philox({i, 0, 0, 0}, sequence)[0] % 200));
    }
    return prompt;
  }

  static GenerationRequest request_of(int64_t sequence, int64_t slot, Answer& answer) {
    return {.prompt = prompt_of(sequence),
            .slot = slot,
            .max_new_tokens = kNewTokens,
            .on_token = [&](int64_t, const auto& token) {
              answer.push_back(token.id);
              return true;
            }};
  }

  /// What the first `count` adapters answer to their prompts when nobody else is there.
  std::vector<Answer> solo_answers(int64_t count) {
    std::vector<Answer> answers(count);
    for (int64_t i = 0; i < count; ++i) {
      text.use(basis, AdapterSet::of_bank(alone(i)));
      Scheduler& scheduler = text.scheduler(1, /*ignore_eos=*/true);
      scheduler.submit(request_of(i, 0, answers[i]));
      while (scheduler.step()) {
      }
    }
    return answers;
  }

  std::shared_ptr<ResidentBank> resident() const {
    const auto layout = layout_of(kRank);
    return std::make_shared<ResidentBank>(ResidentKind{layout, ""}, kRows * layout->row_size * 4);
  }

  /// All 64 at once, each with its adapter in a row of the bank, while others pass through it between the steps.
  std::vector<Answer> answers_in_company(bool pins) {
    const std::shared_ptr<ResidentBank> bank = resident();
    text.use(basis, bank->set());
    Scheduler& scheduler = text.scheduler(kSequences, /*ignore_eos=*/true);
    std::vector<Answer> answers(kSequences);
    for (int64_t i = 0; i < kSequences; ++i) {
      const auto pin = bank->pin("adapter-" + std::to_string(i), loader_of(i));
      pin->wait();
      GenerationRequest request = request_of(i, pin->slot(), answers[i]);
      if (pins) request.holds = pin;
      scheduler.submit(std::move(request));
    }
    int64_t passing = 10'000;
    Answer passing_answer;
    do {
      for (int64_t i = 0; i < 300; ++i, ++passing) {
        const auto pin = bank->pin("adapter-" + std::to_string(passing), loader_of(passing));
        pin->wait();
      }
    } while (scheduler.step());
    EXPECT_GE(bank->num_loads(), 64 + 12 * 300);
    const auto again = bank->pin("adapter-0", loader_of(0));  // the requests have let go
    EXPECT_NE(again, nullptr);
    return answers;
  }

  static TextModelOptions options() {
    return {.model = test::oracle_folder() / "generation", .precision = "float32", .context = 64};
  }
  TextModel text{options(), Settings{.cache = std::filesystem::temp_directory_path() / "loraxs-resident-test"}};
  std::vector<Site> sites;
  std::shared_ptr<const Basis> basis;
};

TEST_F(ResidentTest, EverySequenceAnswersAsAloneWhileThousandsPassThroughTheOtherRows) {
  const std::vector<Answer> expected = solo_answers(kSequences);
  EXPECT_EQ(answers_in_company(/*pins=*/true), expected);
  EXPECT_NE(answers_in_company(/*pins=*/false), expected) << "control: without pins others write into their rows";
}

TEST_F(ResidentTest, OtherAdaptersEnterTheNextBatchOfTheSameScheduler) {
  const std::vector<Answer> expected = solo_answers(3);
  AdapterSet set = AdapterSet::of_bank(alone(0));
  text.use(basis, set);
  Scheduler& scheduler = text.scheduler(4, /*ignore_eos=*/true);
  const PreparedModel* prepared = text.model().prepared().get();
  std::vector<Answer> answers(3);
  scheduler.submit(request_of(0, 0, answers[0]));
  for (int64_t i = 1; i < 3; ++i) {
    scheduler.step();
    scheduler.step();
    set.banks.push_back(alone(i));
    set.slots.push_back({.bank = i, .row = 0});
    text.use(basis, set);
    scheduler.submit(request_of(i, i, answers[i]));
  }
  // What would be another adapter for who is under way, or another base, is refused; the scheduler goes on.
  EXPECT_THROW(text.use(basis, AdapterSet::of_bank(alone(1))), c10::Error);
  AdapterSet wider = set;
  wider.banks.push_back(std::make_shared<Bank>(make_bank(layout_of(2 * kRank), kRank, 1)));
  EXPECT_ERROR(text.use(basis, wider),
               "expected an adapter of rank at most 8, for which the base was prepared, found rank 16");
  EXPECT_ERROR(text.use(std::make_shared<Basis>(*basis), set), "expected the basis of the requests under way");
  while (scheduler.step()) {
  }
  EXPECT_EQ(answers, expected);
  EXPECT_NE(answers[0], answers[1]);
  EXPECT_EQ(text.model().prepared().get(), prepared) << "nothing was packed anew";
  text.use(basis, wider);  // nobody is under way: prepared anew
  EXPECT_EQ(text.model().prepared()->reservation().ranks.at(sites.front().name), 2 * kRank);
}

}  // namespace
}  // namespace loraxs
