#include "generate/sampling.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>

#include "io/error.h"
#include "io/seeds.h"

namespace loraxs {
namespace {

constexpr float kFiltered = -std::numeric_limits<float>::infinity();
constexpr float kLargestFloat = std::numeric_limits<float>::max();

void penalise(std::vector<float>& logits, std::span<const int32_t> seen, double penalty) {
  if (penalty == 1) return;
  const auto factor = static_cast<float>(penalty);
  std::vector<int32_t> once(seen.begin(), seen.end());
  std::sort(once.begin(), once.end());
  once.erase(std::unique(once.begin(), once.end()), once.end());
  for (const int32_t id : once) {
    float& logit = logits.at(id);
    logit = logit < 0 ? logit * factor : logit / factor;
  }
}

void keep_top_k(std::vector<float>& logits, int64_t k) {
  if (k == 0 || k >= static_cast<int64_t>(logits.size())) return;
  std::vector<float> sorted = logits;
  std::nth_element(sorted.begin(), sorted.begin() + (k - 1), sorted.end(), std::greater<>());
  const float smallest = sorted[k - 1];  // equal logits stay together
  for (float& logit : logits) {
    if (logit < smallest) logit = kFiltered;
  }
}

/// The largest value, where it is finite and none is NaN.
std::optional<float> largest_finite(std::span<const float> row) {
  const float* values = row.data();
  const size_t count = row.size();
  float largest = kFiltered;
  int32_t nans = 0;
#pragma omp simd reduction(max : largest) reduction(| : nans)
  for (size_t i = 0; i < count; ++i) {  // max_element goes one by one, and passes over NaN
    largest = values[i] > largest ? values[i] : largest;
    nans |= static_cast<int32_t>(values[i] != values[i]);
  }
  if (nans != 0 || !std::isfinite(largest)) return std::nullopt;
  return largest;
}

/// The same of finite logits after penalty and temperature.
float largest_score(std::span<const float> scores) {
  if (const auto largest = largest_finite(scores)) return *largest;
  throw Error(
      "repetition penalty and temperature: expected values that leave the logits in float32's range, found ones "
      "that do not; take values nearer to 1");
}

/// e^(score - largest) and their sum.
double exponentials(std::span<const float> scores, std::vector<double>& values) {
  const float largest = largest_score(scores);
  values.resize(scores.size());
  double sum = 0;
  for (size_t i = 0; i < scores.size(); ++i) {
    values[i] = std::exp(static_cast<double>(scores[i]) - largest);
    sum += values[i];
  }
  return sum;
}

/// Sets to 0 what is outside the nucleus: the most probable tokens until their probabilities reach top_p.
void keep_top_p(std::vector<double>& values, double& sum, double top_p) {
  if (top_p == 1) return;
  std::vector<int32_t> order;
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i] > 0) order.push_back(static_cast<int32_t>(i));
  }
  const auto before = [&](int32_t x, int32_t y) { return values[x] != values[y] ? values[x] > values[y] : x < y; };
  double reached = 0;
  size_t kept = 0, sorted = 0;  // a nucleus is mostly a few hundred of the vocabulary: sorted as far as it reaches
  constexpr size_t kFirst = 256, kGrowth = 8;
  for (size_t count = kFirst; kept < order.size() && (kept == 0 || reached < top_p * sum); count *= kGrowth) {
    const size_t end = std::min(count, order.size());
    const auto first = order.begin() + static_cast<int64_t>(sorted), last = order.begin() + static_cast<int64_t>(end);
    if (last != order.end()) std::nth_element(first, last, order.end(), before);
    std::sort(first, last, before);
    sorted = end;
    while (kept < sorted && (kept == 0 || reached < top_p * sum)) reached += values[order[kept++]];
  }
  for (size_t i = kept; i < order.size(); ++i) values[order[i]] = 0;
  sum = reached;
}

void keep_min_p(std::vector<double>& values, double& sum, double min_p) {
  if (min_p == 0) return;
  const double smallest = min_p * *std::max_element(values.begin(), values.end());
  sum = 0;
  for (double& value : values) {
    if (value < smallest) value = 0;
    sum += value;
  }
}

int32_t first_of(std::span<const float> values, float value) {
  return static_cast<int32_t>(std::find(values.begin(), values.end(), value) - values.begin());
}

/// The k largest, largest first, lower ids before higher ones among equals.
std::vector<TokenLogprob> top_logprobs(std::span<const float> logits, double normaliser, int64_t k) {
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto count = std::min<int64_t>(k, static_cast<int64_t>(order.size()));
  std::partial_sort(order.begin(), order.begin() + count, order.end(),
                    [&](int32_t x, int32_t y) { return logits[x] != logits[y] ? logits[x] > logits[y] : x < y; });
  std::vector<TokenLogprob> top;
  top.reserve(count);
  for (int64_t i = 0; i < count; ++i) {
    top.push_back({.id = order[i], .logprob = static_cast<float>(logits[order[i]] - normaliser)});
  }
  return top;
}

}  // namespace

void SamplingOptions::check(const std::string& where) const {
  const auto fail = [&](const char* option, const char* expected, double found) {
    throw Error(concat(where, ": ", option, ": expected ", expected, ", found ", found));
  };
  const auto in_range = [](double value) {
    return value >= std::numeric_limits<float>::min() && value <= std::numeric_limits<float>::max();
  };
  if (!(repetition_penalty > 0)) fail("repetition penalty", "a number above 0", repetition_penalty);
  if (!in_range(repetition_penalty)) fail("repetition penalty", "a number in float32's range", repetition_penalty);
  if (!(temperature >= 0)) fail("temperature", "a number ≥ 0 (0 is greedy)", temperature);
  if (temperature > 0 && !in_range(temperature)) fail("temperature", "0 or a number in float32's range", temperature);
  if (top_k < 0) fail("top-k", "an integer ≥ 0 (0 keeps all)", static_cast<double>(top_k));
  if (!(top_p > 0 && top_p <= 1)) fail("top-p", "a number above 0 and at most 1", top_p);
  if (!(min_p >= 0 && min_p < 1)) fail("min-p", "a number from 0 to below 1", min_p);
  if (top_logprobs < -1) fail("logprobs", "an integer ≥ 0 (-1: none)", static_cast<double>(top_logprobs));
  if (greedy() && (top_k != 0 || top_p != 1 || min_p != 0)) {
    throw Error(concat(where,
                       ": top-k, top-p and min-p choose what is drawn from, and temperature 0 draws nothing; "
                       "give a temperature above 0, or leave them out"));
  }
}

float largest_logit(std::span<const float> logits) {
  if (const auto largest = largest_finite(logits)) return *largest;
  const auto wrong = std::find_if(logits.begin(), logits.end(), [](float x) { return !(x <= kLargestFloat); });
  const std::string found = wrong == logits.end()
                                ? "none above -inf"
                                : concat(std::isnan(*wrong) ? "NaN" : "+inf", " for token ", wrong - logits.begin());
  throw Error(concat("expected finite logits, found ", found,
                     "; weights of the base model or of the adapter are damaged, or too large for the precision"));
}

std::vector<double> sampling_probabilities(std::span<const float> logits, std::span<const int32_t> seen,
                                           const SamplingOptions& options) {
  largest_logit(logits);
  std::vector<float> scores(logits.begin(), logits.end());
  penalise(scores, seen, options.repetition_penalty);
  const auto temperature = static_cast<float>(options.temperature);
  for (float& score : scores) score /= temperature;
  keep_top_k(scores, options.top_k);
  std::vector<double> values;
  double sum = exponentials(scores, values);
  keep_top_p(values, sum, options.top_p);
  keep_min_p(values, sum, options.min_p);
  for (double& value : values) value /= sum;
  return values;
}

SampledToken sample(std::span<const float> logits, std::span<const int32_t> seen, const SamplingOptions& options,
                    int64_t index) {
  SampledToken token;
  if (options.greedy()) {
    if (options.repetition_penalty == 1) {
      token.id = first_of(logits, largest_logit(logits));
    } else {
      largest_logit(logits);
      std::vector<float> scores(logits.begin(), logits.end());
      penalise(scores, seen, options.repetition_penalty);
      token.id = first_of(scores, largest_score(scores));
    }
  } else {
    const std::vector<double> probabilities = sampling_probabilities(logits, seen, options);
    const auto words = philox({static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32), 0, 0}, options.seed);
    constexpr double kTwoTo53 = 9007199254740992.0;
    const double drawn = static_cast<double>((static_cast<uint64_t>(words[0]) << 21) | (words[1] >> 11)) / kTwoTo53;
    double reached = 0;
    for (size_t i = 0; i < probabilities.size(); ++i) {
      if (probabilities[i] == 0) continue;
      token.id = static_cast<int32_t>(i);  // the last token that is possible, if rounding leaves the sum below `drawn`
      reached += probabilities[i];
      if (drawn < reached) break;
    }
  }
  if (options.top_logprobs < 0) return token;  // a vocabulary of exponentials is a tenth of a small model's step
  const double normaliser = log_sum_exp(logits);
  token.logprob = static_cast<float>(logits[token.id] - normaliser);
  if (options.top_logprobs > 0) token.top = top_logprobs(logits, normaliser, options.top_logprobs);
  return token;
}

double log_sum_exp(std::span<const float> logits) {
  const float largest = largest_logit(logits);
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - largest);
  return largest + std::log(sum);
}

}  // namespace loraxs
