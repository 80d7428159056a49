#include "generate/sampling.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

#include "io/error.h"
#include "io/safetensors.h"
#include "support/expect_error.h"

namespace loraxs {
namespace {

template <typename T>
std::span<const T> values(const Safetensors& file, const std::string& name) {
  const auto& bytes = file.at(name).bytes;
  return {reinterpret_cast<const T*>(bytes.data()), bytes.size() / sizeof(T)};
}

TEST(SamplingTest, ProbabilitiesAreThoseOfTransformers) {
  const char* folder = std::getenv("LORAXS_ORACLES");
  ASSERT_NE(folder, nullptr) << "run the tests through ctest";
  const Safetensors file = read_safetensors(std::filesystem::path(folder) / "sampling.safetensors");
  const auto cases = static_cast<size_t>(file.at("logits").shape[0]),
             vocab = static_cast<size_t>(file.at("logits").shape[1]);
  const auto seen = static_cast<size_t>(file.at("seen").shape[1]);
  const auto logits = values<float>(file, "logits");
  const auto ids = values<int32_t>(file, "seen");
  const auto options = values<double>(file, "options"), expected = values<double>(file, "probabilities");
  size_t filtered = 0;
  for (size_t c = 0; c < cases; ++c) {
    const double* o = options.data() + c * 5;
    const SamplingOptions given{.repetition_penalty = o[0],
                                .temperature = o[1],
                                .top_k = static_cast<int64_t>(o[2]),
                                .top_p = o[3],
                                .min_p = o[4]};
    const auto found = sampling_probabilities(logits.subspan(c * vocab, vocab), ids.subspan(c * seen, seen), given);
    for (size_t v = 0; v < vocab; ++v) {
      const double wanted = expected[c * vocab + v];
      // transformers sums in float32: 1e-6 of the probability.
      EXPECT_NEAR(found[v], wanted, 2e-6 * std::max(wanted, 1e-3)) << "case " << c << ", token " << v;
      EXPECT_EQ(found[v] == 0, wanted == 0) << "case " << c << ", token " << v;
      filtered += wanted == 0 ? 1 : 0;
    }
  }
  EXPECT_GT(filtered, cases * vocab / 4);
}

TEST(SamplingTest, DrawsFollowTheProbabilitiesAndDependOnSeedAndIndexOnly) {
  const std::vector<float> logits = {1.0F, 2.0F, -1.0F, 0.5F, 3.0F};
  const SamplingOptions options{.temperature = 1.3, .top_k = 4, .seed = 11};
  const std::vector<double> expected = sampling_probabilities(logits, {}, options);
  constexpr int64_t kDraws = 20000;
  std::vector<int64_t> counts(logits.size());
  for (int64_t i = 0; i < kDraws; ++i) ++counts[sample(logits, {}, options, i).id];
  double chi_square = 0;
  for (size_t v = 0; v < logits.size(); ++v) {
    if (expected[v] == 0) {
      EXPECT_EQ(counts[v], 0);
      continue;
    }
    const double mean = expected[v] * kDraws;
    chi_square += (static_cast<double>(counts[v]) - mean) * (static_cast<double>(counts[v]) - mean) / mean;
  }
  EXPECT_LT(chi_square, 16.3);  // 3 degrees of freedom: 1 in 1000 beyond
  SamplingOptions other = options;
  other.seed = 12;
  int64_t same = 0;
  for (int64_t i = 0; i < 200; ++i) {
    EXPECT_EQ(sample(logits, {}, options, i).id, sample(logits, {}, options, i).id);
    same += sample(logits, {}, options, i).id == sample(logits, {}, other, i).id ? 1 : 0;
  }
  EXPECT_LT(same, 150);
}

TEST(SamplingTest, GreedyTakesTheLargestAndReportsTheModelsOwnLogprobs) {
  const std::vector<float> logits = {1.0F, 3.0F, 3.0F, 0.0F};
  const std::vector<int32_t> seen = {1, 1, 2};
  SampledToken token = sample(logits, seen, {.top_logprobs = 3}, 0);
  EXPECT_EQ(token.id, 1);
  const double sum = std::log(std::exp(1.0) + 2 * std::exp(3.0) + 1);
  EXPECT_NEAR(token.logprob, 3 - sum, 1e-6);
  ASSERT_EQ(token.top.size(), 3U);
  EXPECT_EQ(token.top[0].id, 1);
  EXPECT_EQ(token.top[1].id, 2);
  EXPECT_EQ(token.top[2].id, 0);
  EXPECT_NEAR(token.top[2].logprob, 1 - sum, 1e-6);
  token = sample(logits, seen, {.repetition_penalty = 4, .top_logprobs = 0}, 0);  // 3 / 4 < 1
  EXPECT_EQ(token.id, 0);
  EXPECT_NEAR(token.logprob, 1 - sum, 1e-6);
}

TEST(SamplingTest, WhatGivesNoTokenIsAnErrorAndForbiddenTokensAreNone) {
  const SamplingOptions greedy, with_penalty{.repetition_penalty = 2}, drawn{.temperature = 0.7, .top_k = 3},
      nucleus{.temperature = 1, .top_p = 0.5, .min_p = 0.1}, logged{.top_logprobs = 2};
  constexpr size_t kVocab = 71;  // vector loops and their rest
  for (const SamplingOptions& options : {greedy, with_penalty, drawn, nucleus, logged}) {
    for (const size_t at : {size_t{0}, size_t{37}, kVocab - 1}) {
      for (const float wrong : {NAN, -NAN, INFINITY}) {
        std::vector<float> logits(kVocab, 1);
        logits[at] = wrong;
        const std::string found = std::isnan(wrong) ? "NaN" : "+inf";
        EXPECT_ERROR(sample(logits, {}, options, 0),
                     concat("expected finite logits, found ", found, " for token ", at));
        EXPECT_ERROR(log_sum_exp(logits), "expected finite logits");
      }
      std::vector<float> one(kVocab, -INFINITY);
      EXPECT_ERROR(sample(one, {}, options, 0), "expected finite logits, found none above -inf");
      one[at] = -1;  // all others are forbidden
      for (int64_t i = 0; i < 20; ++i) EXPECT_EQ(sample(one, {}, options, i).id, static_cast<int32_t>(at));
    }
  }
  const std::vector<float> logits = {1e5F, -1e5F, 3};
  const std::vector<int32_t> seen = {0};
  for (const SamplingOptions& beyond :
       {SamplingOptions{.repetition_penalty = 1e-37}, SamplingOptions{.repetition_penalty = 1e-37, .temperature = 1},
        SamplingOptions{.temperature = 1e-37}}) {
    EXPECT_ERROR(sample(logits, seen, beyond, 0), "leave the logits in float32's range");
  }
}

}  // namespace
}  // namespace loraxs
