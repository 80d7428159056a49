// What sets the decoder families apart: each feature matters in its case, and cached decoding keeps to all of them.
// That the cases equal transformers, decoder_test.cpp says.
#include <gtest/gtest.h>

#include <fstream>
#include <functional>

#include "io/error.h"
#include "io/fields.h"
#include "model/kv_cache.h"
#include "support/close.h"
#include "support/expect_error.h"
#include "support/oracle.h"
#include "support/temporary_folder.h"

namespace loraxs {
namespace {

using test::OracleCase;

torch::Tensor logits(const OracleCase& oracle) {
  torch::NoGradGuard no_grad;
  return oracle.adapted(oracle.bank(torch::kFloat32, 0), torch::kFloat32)
      .token_logits(pack(oracle.sequences(), Ask::kAll));
}

struct Feature {
  const char* family;
  const char* name;
  std::function<void(BaseModel&)> without;
};

class FeatureTest : public testing::TestWithParam<Feature> {};

TEST_P(FeatureTest, WithoutItTheLogitsAreOthers) {
  OracleCase oracle(GetParam().family);
  const torch::Tensor expected = oracle.tensor("logits");
  EXPECT_LE(test::largest_error(logits(oracle), expected), 1e-5);
  GetParam().without(oracle.model);
  EXPECT_GT(test::largest_error(logits(oracle), expected), 1e-2);
}

void zero_biases(BaseModel& model, const std::string& module) {
  for (auto& [name, weight] : model.weights) {
    if (name.ends_with("." + module + ".bias")) weight = torch::zeros_like(weight);
  }
}

const Feature kFeatures[] = {
    {"tiny_mistral", "window", [](BaseModel& m) { m.config.windows.clear(); }},
    {"tiny_mistral", "window_by_one", [](BaseModel& m) { m.config.windows.assign(3, 12); }},
    {"tiny_mistral", "theta", [](BaseModel& m) { m.config.rotary.theta = 10000; }},
    {"tiny_gemma", "norms_around_one", [](BaseModel& m) { m.config.norm_offset = 0; }},
    {"tiny_gemma", "scaled_embeddings", [](BaseModel& m) { m.config.embedding_scale = 1; }},
    {"tiny_gemma", "gelu", [](BaseModel& m) { m.config.gate = GateActivation::kSilu; }},
    {"tiny_qwen2", "query_bias", [](BaseModel& m) { zero_biases(m, "query"); }},
    {"tiny_qwen2", "key_bias", [](BaseModel& m) { zero_biases(m, "key"); }},
    {"tiny_qwen2", "value_bias", [](BaseModel& m) { zero_biases(m, "value"); }},
    {"tiny_qwen2", "window_of_the_last_layer", [](BaseModel& m) { m.config.windows[2] = 0; }},
    {"tiny_qwen2", "no_window_below", [](BaseModel& m) { m.config.windows[0] = 9; }},
    {"tiny_qwen3", "query_key_norm", [](BaseModel& m) { m.config.query_key_norm = false; }},
    {"tiny_qwen3", "eps", [](BaseModel& m) { m.config.norm_eps = 0.1; }},
};

INSTANTIATE_TEST_SUITE_P(Families, FeatureTest, testing::ValuesIn(kFeatures), [](const auto& info) {
  return std::string(info.param.family).substr(5) + "_" + info.param.name;
});

class CachedFamilyTest : public testing::TestWithParam<const char*> {};

TEST_P(CachedFamilyTest, ChunksAndStepsGiveTheLogitsOfTheForwardWithoutACache) {
  const OracleCase oracle(GetParam());
  const std::vector<int32_t> ids = oracle.sequences()[3].input_ids;
  const auto length = static_cast<int64_t>(ids.size());
  ASSERT_EQ(length, 90);
  for (const auto dtype : {torch::kFloat32, torch::kFloat64}) {
    AdaptedModel model = oracle.adapted(oracle.bank(dtype), dtype);
    torch::NoGradGuard no_grad;
    const torch::Tensor expected =
        model.token_logits(pack(std::vector{Sequence{.input_ids = ids, .slot = 0}}, Ask::kAll));  // [tokens, vocab]
    for (const int64_t chunk : {int64_t{1}, int64_t{7}, int64_t{40}, length}) {
      SCOPED_TRACE(concat(dtype, " chunk ", chunk));
      KvCache cache(model.config(), /*blocks=*/20, dtype);
      std::vector<int32_t> blocks;
      for (int64_t done = 0; done < length; done += chunk) {
        const int64_t end = std::min(length, done + chunk);
        while (static_cast<int64_t>(blocks.size()) < KvCache::blocks_for(end)) {
          blocks.push_back(static_cast<int32_t>(3 * blocks.size() + 1));
        }
        Sequence sequence{.input_ids = {ids.begin() + done, ids.begin() + end}, .slot = 0};
        sequence.first_position = done;
        sequence.blocks = blocks;
        sequence.asks_next = true;
        const torch::Tensor found = model.token_logits(pack(std::vector{sequence}, Ask::kNext), &cache);
        EXPECT_LE(test::largest_error(found[0], expected[end - 1]), dtype == torch::kFloat64 ? 1e-10 : 1e-5);
        if (end > 1) {
          EXPECT_GT(test::largest_error(found[0], expected[end - 2]), 1e-3);  // control: another token's
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, CachedFamilyTest,
                         testing::Values("tiny_mistral", "tiny_gemma", "tiny_qwen2", "tiny_qwen3"));

TEST(FamilyConfigTest, WhatWeCannotRunIsRefusedByName) {
  const auto check = [](const std::string& family, const nlohmann::json& changes, const std::string& message) {
    SCOPED_TRACE(message);
    const test::TemporaryFolder folder;
    nlohmann::json config = read_json(test::oracle_folder() / family / "config.json");
    config.update(changes);
    std::ofstream(folder / "config.json") << config.dump();
    EXPECT_ERROR(read_model_config(folder.path()), message);
  };
  check("tiny_mistral", {{"sliding_window", 0}}, "sliding_window: expected");
  check("tiny_gemma", {{"hidden_act", "silu"}}, "hidden_act: expected");
  check("tiny_gemma", {{"use_bidirectional_attention", true}}, "use_bidirectional_attention: expected false");
  check("tiny_gemma", {{"attention_bias", true}}, "attention_bias: expected false");
  check("tiny_qwen2", {{"layer_types", {"full_attention"}}}, "layer_types: expected one for each of 3 layers, found 1");
  check("tiny_qwen3",
        {{"use_sliding_window", true}, {"layer_types", {"full_attention", "linear_attention", "full_attention"}}},
        "layer_types: expected full_attention or sliding_attention, found linear_attention");
}

TEST(FamilyConfigTest, NoWindowIsSaidByNull) {
  const test::TemporaryFolder folder;
  nlohmann::json config = read_json(test::oracle_folder() / "tiny_mistral" / "config.json");
  const auto window = [&] {
    std::ofstream(folder / "config.json") << config.dump();
    return read_model_config(folder.path()).config.window(0);
  };
  EXPECT_EQ(window(), 11);
  config["sliding_window"] = nullptr;
  EXPECT_EQ(window(), 0);
  config.erase("sliding_window");
  EXPECT_EQ(window(), 4096);  // MistralConfig's own
}

}  // namespace
}  // namespace loraxs
