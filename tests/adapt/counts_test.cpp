// The parameter counts that the paper prints or implies, from config.json alone.
#include "adapt/counts.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace loraxs
