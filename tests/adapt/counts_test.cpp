// The parameter counts that the paper prints or implies, from config.json alone.
#include "adapt/counts.h"

#include <gtest/gtest.h>

#include "adapt/budget.h"
#include "model/architecture.h"
#include "support/expect_error.h"

namespace loraxs {
namespace {

struct PaperModel {
  const char* config;
  size_t num_sites;                                  // M
  std::vector<std::pair<int64_t, int64_t>> lora_xs;  // rank, numbers
  int64_t lora_per_rank;                             // LoRA on the same modules
  std::vector<std::string> baseline_targets;         // of the LoRA row the paper compares with
  int64_t baseline_rank, baseline;
  int64_t full;  // full fine-tuning: all numbers of the model
};

const std::vector<PaperModel>& paper_models() {
  static const std::vector<std::string> five = {"site:query", "site:key", "site:value", "site:up", "site:down"};
  static const std::vector<PaperModel> models = {
      {"roberta-large",
       96,
       {{1, 96}, {4, 1536}, {8, 6144}, {12, 13824}, {16, 24576}, {20, 38400}, {25, 60000}},
       270336,
       {"query", "value"},
       8,
       786432,
       354310144},  // "355M"
      {"mistral-7b", 224, {{16, 57344}, {32, 229376}, {64, 917504}}, 2621440, {"paper"}, 64, 167772160, 7241732096},
      {"gemma-7b", 196, {{16, 50176}, {32, 200704}, {64, 802816}}, 3125248, {"paper"}, 64, 200015872, 8537680896},
      {"llama2-7b", 224, {{32, 229376}, {64, 917504}, {128, 3670016}}, 2498560, five, 32, 56098816, 6738415616},
      {"llama3-8b", 224, {{32, 229376}, {64, 917504}, {128, 3670016}}, 2621440, five, 32, 56623104, 8030261248}};
  return models;
}

TEST(CountsTest, EveryModelOfThePaper) {
  for (const PaperModel& paper : paper_models()) {
    SCOPED_TRACE(paper.config);
    const ParsedConfig parsed = read_model_config(concat(LORAXS_SOURCE_DIR, "/tests/configs/", paper.config, ".json"));
    const auto sites = [&](const std::vector<std::string>& targets) {
      return select_sites(*parsed.architecture, parsed.config, targets, "test");
    };
    EXPECT_EQ(sites({"paper"}).size(), paper.num_sites);
    for (const auto& [rank, numbers] : paper.lora_xs) EXPECT_EQ(count_lora_xs(sites({"paper"}), rank), numbers);
    EXPECT_EQ(count_lora(sites({"paper"}), 1), paper.lora_per_rank);
    EXPECT_EQ(count_lora(sites(paper.baseline_targets), paper.baseline_rank), paper.baseline);
    EXPECT_EQ(count_model(*parsed.architecture, parsed.config), paper.full);
  }
}

TEST(CountsTest, RobertaLargeBeside) {
  const ParsedConfig parsed = read_model_config(concat(LORAXS_SOURCE_DIR, "/tests/configs/roberta-large.json"));
  const auto sites = [&](const std::vector<std::string>& targets) {
    return select_sites(*parsed.architecture, parsed.config, targets, "test");
  };
  EXPECT_EQ(count_vera(sites({"query", "value"}), 256), 61440);
  EXPECT_EQ(count_basis(sites({"paper"}), 25), 6758400);
  EXPECT_EQ(2 * count_vera(sites({"query", "value"}), 256), 5 * count_lora_xs(sites({"paper"}), 16));  // 2.5×
}

// The paper's storage arithmetic: width 12288, 96 layers, query and value, rank 16, 16-bit numbers.
TEST(CountsTest, Gpt3Storage) {
  const std::vector<Site> sites(2 * 96, Site{.in_features = 12288, .out_features = 12288});
  constexpr int64_t kBytes = 2, kKiB = 1024;
  EXPECT_EQ(count_lora(sites, 16), 75497472);
  EXPECT_EQ(count_lora(sites, 16) * kBytes, 144 * kKiB * kKiB);
  EXPECT_EQ(count_lora_xs(sites, 16), 49152);
  EXPECT_EQ(count_lora_xs(sites, 16) * kBytes, 96 * kKiB);
  EXPECT_EQ(count_lora(sites, 16), 1536 * count_lora_xs(sites, 16));  // 2n / r
}

// What a budget leaves is less than the step of a site; the numbers are those of the rows.
TEST(BudgetTest, WithinOneSitesStepForEveryMethodThatHasARank) {
  const ParsedConfig parsed = read_model_config(concat(LORAXS_SOURCE_DIR, "/tests/configs/minilm.json"));
  const auto choose = [&](BudgetRequest request) {
    return choose_within_budget(*parsed.architecture, parsed.config, request, "test");
  };
  for (const char* method : {"lora_xs", "lora_sb", "lora", "pissa", "adalora"}) {
    for (const int64_t numbers : {5000, 24576, 100'000, 250'001, 3'000'000}) {
      SCOPED_TRACE(concat(method, " ", numbers));
      const bool xs = std::string(method).starts_with("lora_xs") || std::string(method) == "lora_sb";
      if (!xs && numbers < 10'000) continue;
      const BudgetChoice choice = choose({.method = method, .numbers = numbers});
      const Layout layout = make_layout(method, choice.sites, choice.ranks, {}, 384, "test");
      EXPECT_EQ(choice.numbers, layout.adapter_numbers);
      EXPECT_LE(choice.numbers, numbers);
      int64_t step = INT64_MAX;  // the cheapest
      for (size_t i = 0; i < choice.sites.size(); ++i) {
        const Site& site = choice.sites[i];
        const int64_t rank = choice.ranks[i];
        EXPECT_TRUE(rank == choice.rank || rank == choice.rank + 1) << site.name;
        EXPECT_TRUE(i == 0 || !xs || rank <= choice.ranks[i - 1]);  // canonical order: the first have more
        step = std::min(step, xs ? 2 * rank + 1 : site.in_features + site.out_features);
      }
      EXPECT_LT(numbers - choice.numbers, step);
    }
  }
  EXPECT_EQ(choose({.numbers = 5000}).numbers, 36 * 121 + 28 * 23);  // 36 sites of rank 11, 28 of them of 12
  for (const char* method : {"vera", "tied_lora"}) {                 // one rank for all
    const BudgetChoice choice = choose({.method = method, .one_rank = true, .numbers = 100'000});
    EXPECT_EQ(choice.ranks, std::vector<int64_t>(choice.sites.size(), choice.rank));
    EXPECT_EQ(choice.numbers, make_layout(method, choice.sites, choice.ranks, {}, 384, "test").adapter_numbers);
  }
  EXPECT_ERROR(choose({.method = "tiny_lora", .numbers = 1000}), "expected a method whose size follows from a rank");
  EXPECT_ERROR(choose({.method = "full", .numbers = 1000}), "found full");
  EXPECT_ERROR(choose({.method = "lora", .numbers = 100}), "expected at least 4608 numbers");
}

}  // namespace
}  // namespace loraxs
