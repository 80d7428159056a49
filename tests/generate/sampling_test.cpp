#include "generate/sampling.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "io/error.h"
#include "io/safetensors.h"
#include "io/seeds.h"
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
    const auto found =
        sampling_probabilities(logits.subspan(c * vocab, vocab), {.prompt = ids.subspan(c * seen, seen)}, given);
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
  const std::vector<int32_t> prompt = {1, 1, 2};
  const SeenTokens seen{.prompt = prompt};
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
  const std::vector<int32_t> prompt = {0};
  const SeenTokens seen{.prompt = prompt};
  for (const SamplingOptions& beyond :
       {SamplingOptions{.repetition_penalty = 1e-37}, SamplingOptions{.repetition_penalty = 1e-37, .temperature = 1},
        SamplingOptions{.temperature = 1e-37}}) {
    EXPECT_ERROR(sample(logits, seen, beyond, 0), "leave the logits in float32's range");
  }
}

/// vLLM's order (v1/sample: logits processors, then apply_penalties) and OpenAI's formula, written out.
TEST(SamplingTest, BiasAndPenaltiesAreOpenAisAndLookAtTheAnswerAlone) {
  constexpr size_t kVocab = 12;
  std::vector<float> logits(kVocab);
  for (size_t v = 0; v < kVocab; ++v) logits[v] = static_cast<float>(static_cast<double>(v * 7 % 12) * 0.37 - 1.5);
  const std::vector<int32_t> prompt = {0, 3, 3, 5, 7}, answer = {3, 4, 4, 4, 9, 3};
  const SeenTokens seen{.prompt = prompt, .answer = answer};
  const SamplingOptions options{.logit_bias = {{2, 1.25F}, {4, -0.5F}, {11, 100}, {6, -100}},
                                .repetition_penalty = 1.3,
                                .frequency_penalty = 0.6,
                                .presence_penalty = -0.9,
                                .temperature = 0.8};
  std::vector<double> expected(kVocab);
  double sum = 0;
  for (size_t v = 0; v < kVocab; ++v) {
    const auto id = static_cast<int32_t>(v);
    double logit = logits[v];
    if (const auto bias = options.logit_bias.find(id); bias != options.logit_bias.end()) logit += bias->second;
    const auto count = static_cast<double>(std::count(answer.begin(), answer.end(), id));
    const bool seen_at_all = count > 0 || std::count(prompt.begin(), prompt.end(), id) > 0;
    if (seen_at_all) logit = logit < 0 ? logit * 1.3 : logit / 1.3;
    logit -= 0.6 * count + (count > 0 ? -0.9 : 0);
    expected[v] = std::exp(logit / 0.8);
    sum += expected[v];
  }
  const std::vector<double> found = sampling_probabilities(logits, seen, options);
  for (size_t v = 0; v < kVocab; ++v) EXPECT_NEAR(found[v], expected[v] / sum, 1e-6) << v;

  const std::vector<float> flat = {2, 1.5F, 1, 0};  // greedy sees them, and reports the model's own distribution
  const double normaliser = log_sum_exp(flat);
  const std::vector<int32_t> once = {0}, twice = {0, 0};
  const auto greedy = [&](const SamplingOptions& given, const SeenTokens& tokens) {
    const SampledToken token = sample(flat, tokens, given, 0);
    EXPECT_NEAR(token.logprob, flat[token.id] - normaliser, 1e-6);
    EXPECT_EQ(token.top.front().id, 0);
    return token.id;
  };
  EXPECT_EQ(greedy({.presence_penalty = 0.6, .top_logprobs = 1}, {.answer = once}), 1);
  EXPECT_EQ(greedy({.presence_penalty = 0.6, .top_logprobs = 1}, {.prompt = once}), 0);
  EXPECT_EQ(greedy({.frequency_penalty = 0.4, .top_logprobs = 1}, {.answer = once}), 0);
  EXPECT_EQ(greedy({.frequency_penalty = 0.4, .top_logprobs = 1}, {.answer = twice}), 1);
  EXPECT_EQ(greedy({.logit_bias = {{2, 1.1F}}, .top_logprobs = 1}, {}), 2);
  EXPECT_EQ(greedy({.logit_bias = {{3, 100}}, .top_logprobs = 1}, {}), 3);
}

/// Filters of whole vocabularies written out plainly: everything sorted, everything summed.
TEST(SamplingTest, FiltersOfALargeVocabularyLeaveWhatPlainOnesLeave) {
  constexpr size_t kVocab = 20'000;
  std::vector<float> logits(kVocab);
  for (const double spread : {0.01, 1.0, 4.0}) {
    fill_normal(std::span(logits), static_cast<uint64_t>(spread * 100), spread);
    for (size_t v = 0; v < kVocab; v += 3) logits[v] = std::round(logits[v] * 4) / 4;  // equal ones
    for (const SamplingOptions& options :
         {SamplingOptions{.temperature = 1, .top_k = 40}, SamplingOptions{.temperature = 0.7, .top_k = 3000},
          SamplingOptions{.temperature = 1, .top_p = 0.9}, SamplingOptions{.temperature = 1.5, .top_p = 0.9999},
          SamplingOptions{.temperature = 1, .top_p = 1e-9}, SamplingOptions{.temperature = 1, .min_p = 0.05},
          SamplingOptions{.temperature = 1, .top_k = 2000, .top_p = 0.5, .min_p = 0.2}}) {
      std::vector<std::pair<double, int32_t>> order;  // most probable first
      for (size_t v = 0; v < kVocab; ++v) {
        order.emplace_back(-static_cast<double>(logits[v] / static_cast<float>(options.temperature)), v);
      }
      std::sort(order.begin(), order.end());
      size_t kept = kVocab;
      if (options.top_k > 0) {
        kept = static_cast<size_t>(options.top_k);
        while (kept < kVocab && order[kept].first == order[kept - 1].first) ++kept;
      }
      const double largest = order.front().first;
      const auto value = [&](size_t i) { return std::exp(largest - order[i].first); };
      double sum = 0, reached = 0;
      for (size_t i = 0; i < kept; ++i) sum += value(i);
      size_t nucleus = 0;
      while (nucleus < kept && (nucleus == 0 || reached < options.top_p * sum)) reached += value(nucleus++);
      if (options.top_p == 1) nucleus = kept;
      while (nucleus > 1 && value(nucleus - 1) < options.min_p) --nucleus;
      const std::vector<double> found = sampling_probabilities(logits, {}, options);
      const auto left = static_cast<size_t>(kVocab - std::count(found.begin(), found.end(), 0.0));
      EXPECT_NEAR(static_cast<double>(left), static_cast<double>(nucleus), options.top_p < 1 ? 1 : 0);  // of a sum
      for (size_t i = 0; i + 1 < std::min(left, nucleus); ++i) ASSERT_GT(found[order[i].second], 0) << i;
    }
  }
}

}  // namespace
}  // namespace loraxs
