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

/// A token that may be drawn.
struct Candidate {
  double value = 0;  // e^(score - largest score)
  int32_t id = 0;
};

void penalise_repetition(std::vector<float>& logits, const SeenTokens& seen, double penalty) {
  if (penalty == 1) return;
  const auto factor = static_cast<float>(penalty);
  std::vector<int32_t> once(seen.prompt.begin(), seen.prompt.end());
  once.insert(once.end(), seen.answer.begin(), seen.answer.end());
  std::sort(once.begin(), once.end());
  once.erase(std::unique(once.begin(), once.end()), once.end());
  for (const int32_t id : once) {
    float& logit = logits.at(id);
    logit = logit < 0 ? logit * factor : logit / factor;
  }
}

/// OpenAI's two penalties, which look at the answer alone: logit -= frequency · count + presence · [count > 0].
void penalise_answer(std::vector<float>& logits, std::span<const int32_t> answer, const SamplingOptions& options) {
  if (options.frequency_penalty == 0 && options.presence_penalty == 0) return;
  const auto frequency = static_cast<float>(options.frequency_penalty);
  const auto presence = static_cast<float>(options.presence_penalty);
  std::vector<int32_t> sorted(answer.begin(), answer.end());
  std::sort(sorted.begin(), sorted.end());
  for (auto first = sorted.begin(); first != sorted.end();) {
    const auto last = std::upper_bound(first, sorted.end(), *first);
    logits.at(*first) -= frequency * static_cast<float>(last - first);
    logits.at(*first) -= presence;
    first = last;
  }
}

/// Logits after bias and penalties.
std::vector<float> changed_logits(std::span<const float> logits, const SeenTokens& seen,
                                  const SamplingOptions& options) {
  std::vector<float> scores(logits.begin(), logits.end());
  for (const auto& [id, bias] : options.logit_bias) scores.at(id) += bias;
  penalise_repetition(scores, seen, options.repetition_penalty);
  penalise_answer(scores, seen.answer, options);
  return scores;
}

/// The k-th largest score; -inf where none is left out.
float kth_largest(const std::vector<float>& scores, int64_t k) {
  if (k == 0 || k >= static_cast<int64_t>(scores.size())) return kFiltered;
  constexpr int64_t kHeap = 1024;  // up to here one pass with a heap beats a selection in a copy
  if (k <= kHeap) {
    std::vector<float> largest(static_cast<size_t>(k));
    std::partial_sort_copy(scores.begin(), scores.end(), largest.begin(), largest.end(), std::greater<>());
    return largest.back();
  }
  std::vector<float> sorted = scores;
  std::nth_element(sorted.begin(), sorted.begin() + (k - 1), sorted.end(), std::greater<>());
  return sorted[k - 1];
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

/// The same of finite logits after bias, penalties and temperature.
float largest_score(std::span<const float> scores) {
  if (const auto largest = largest_finite(scores)) return *largest;
  throw Error(
      "bias, penalties and temperature: expected values that leave the logits in float32's range, found ones that do "
      "not; take a temperature and a repetition penalty nearer to 1");
}

/// The tokens that top-k leaves, by id. Those that min-p is sure to take away are not among them where top-p does not
/// need their sum.
std::vector<Candidate> candidates_of(const std::vector<float>& scores, const SamplingOptions& options) {
  const float largest = largest_score(scores);
  const float smallest = kth_largest(scores, options.top_k);  // equal scores stay together
  constexpr double kRounding = 0.01;
  const bool min_p_first = options.top_p == 1 && options.min_p > 0;
  const double farthest = min_p_first ? std::log(options.min_p) - kRounding : kFiltered;
  std::vector<Candidate> candidates;
  if (smallest == kFiltered && !min_p_first) candidates.reserve(scores.size());
  for (size_t i = 0; i < scores.size(); ++i) {
    const double distance = static_cast<double>(scores[i]) - largest;
    if (scores[i] < smallest || distance < farthest) continue;
    const double value = std::exp(distance);
    if (value > 0) candidates.push_back({.value = value, .id = static_cast<int32_t>(i)});
  }
  return candidates;
}

double sum_of(const std::vector<Candidate>& candidates) {
  double sum = 0;
  for (const Candidate& candidate : candidates) sum += candidate.value;
  return sum;
}

/// Leaves the nucleus: the most probable tokens until their probabilities reach top_p. -> its sum.
double keep_top_p(std::vector<Candidate>& candidates, double sum, double top_p) {
  const auto more_probable = [](const Candidate& x, const Candidate& y) {
    return x.value != y.value ? x.value > y.value : x.id < y.id;
  };
  // All tokens below an n-th of what may be missing are too few to be needed; half of that leaves room for rounding,
  // and should they be needed all the same, they come last.
  const double negligible = (1 - top_p) * sum / (2.0 * static_cast<double>(candidates.size()));
  const auto likely_end = std::partition(candidates.begin(), candidates.end(),
                                         [&](const Candidate& candidate) { return candidate.value >= negligible; });
  const auto likely = static_cast<size_t>(likely_end - candidates.begin());
  double reached = 0;
  size_t kept = 0, sorted = 0;  // a nucleus is mostly a few hundred of the vocabulary: sorted as far as it reaches
  const auto goes_on = [&] { return kept < candidates.size() && (kept == 0 || reached < top_p * sum); };
  constexpr size_t kFirst = 256, kGrowth = 8;
  for (size_t count = kFirst; goes_on(); count *= kGrowth) {
    const size_t limit = sorted < likely ? likely : candidates.size(), end = std::min(count, limit);
    const auto at = [&](size_t index) { return candidates.begin() + static_cast<std::ptrdiff_t>(index); };
    if (end != limit) std::nth_element(at(sorted), at(end), at(limit), more_probable);
    std::sort(at(sorted), at(end), more_probable);
    sorted = end;
    while (kept < sorted && (kept == 0 || reached < top_p * sum)) reached += candidates[kept++].value;
  }
  candidates.resize(kept);
  std::sort(candidates.begin(), candidates.end(), [](const Candidate& x, const Candidate& y) { return x.id < y.id; });
  return reached;
}

double keep_min_p(std::vector<Candidate>& candidates, double min_p) {
  const auto less_probable = [](const Candidate& x, const Candidate& y) { return x.value < y.value; };
  const double smallest = min_p * std::max_element(candidates.begin(), candidates.end(), less_probable)->value;
  std::erase_if(candidates, [&](const Candidate& candidate) { return candidate.value < smallest; });
  return sum_of(candidates);
}

/// The tokens that may be drawn, by id: value / sum is a token's probability.
struct Drawable {
  std::vector<Candidate> candidates;
  double sum = 0;
};

Drawable drawable(std::span<const float> logits, const SeenTokens& seen, const SamplingOptions& options) {
  largest_logit(logits);
  std::vector<float> scores = changed_logits(logits, seen, options);
  const auto temperature = static_cast<float>(options.temperature);
  for (float& score : scores) score /= temperature;
  Drawable drawn{.candidates = candidates_of(scores, options)};
  drawn.sum = sum_of(drawn.candidates);
  if (options.top_p != 1) drawn.sum = keep_top_p(drawn.candidates, drawn.sum, options.top_p);
  if (options.min_p != 0) drawn.sum = keep_min_p(drawn.candidates, options.min_p);
  return drawn;
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
  const auto moderate = [](double value, double most) { return value >= -most && value <= most; };
  constexpr double kMostPenalty = 2, kMostBias = 100;
  if (!moderate(frequency_penalty, kMostPenalty)) {
    fail("frequency penalty", "a number from -2 to 2", frequency_penalty);
  }
  if (!moderate(presence_penalty, kMostPenalty)) fail("presence penalty", "a number from -2 to 2", presence_penalty);
  if (logit_bias.size() > kMostBiases) {
    fail("logit_bias", "at most 300 tokens", static_cast<double>(logit_bias.size()));
  }
  for (const auto& [id, bias] : logit_bias) {
    if (!moderate(bias, kMostBias)) fail(concat("logit_bias of ", id).c_str(), "a number from -100 to 100", bias);
  }
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

void SamplingOptions::check_ids(const std::string& where, int64_t vocab) const {
  for (const auto& [id, bias] : logit_bias) {
    if (id >= 0 && id < vocab) continue;
    throw Error(concat(where, ": logit_bias: expected token ids from 0 to ", vocab - 1, ", the model's, found ", id));
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

std::vector<double> sampling_probabilities(std::span<const float> logits, const SeenTokens& seen,
                                           const SamplingOptions& options) {
  std::vector<double> probabilities(logits.size());
  const auto [candidates, sum] = drawable(logits, seen, options);
  for (const Candidate& candidate : candidates) probabilities[candidate.id] = candidate.value / sum;
  return probabilities;
}

SampledToken sample(std::span<const float> logits, const SeenTokens& seen, const SamplingOptions& options,
                    int64_t index) {
  SampledToken token;
  if (options.greedy()) {
    const float largest = largest_logit(logits);
    if (options.changes_logits()) {
      const std::vector<float> scores = changed_logits(logits, seen, options);
      token.id = first_of(scores, largest_score(scores));
    } else {
      token.id = first_of(logits, largest);
    }
  } else {
    const auto words = philox({static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32), 0, 0}, options.seed);
    constexpr double kTwoTo53 = 9007199254740992.0;
    const double drawn = static_cast<double>((static_cast<uint64_t>(words[0]) << 21) | (words[1] >> 11)) / kTwoTo53;
    double reached = 0;
    const auto [candidates, sum] = drawable(logits, seen, options);
    for (const Candidate& candidate : candidates) {
      token.id = candidate.id;  // the last token that is possible, if rounding leaves the sum below `drawn`
      reached += candidate.value / sum;
      if (drawn < reached) break;
    }
  }
  if (options.top_logprobs < 0) return token;  // a vocabulary of exponentials is a tenth of a small model's step
  return token_logprobs(logits, token.id, options.top_logprobs);
}

SampledToken token_logprobs(std::span<const float> logits, int32_t id, int64_t top) {
  const double normaliser = log_sum_exp(logits);
  SampledToken token{.id = id, .logprob = static_cast<float>(logits[id] - normaliser)};
  if (top > 0) token.top = top_logprobs(logits, normaliser, top);
  return token;
}

double log_sum_exp(std::span<const float> logits) {
  const float largest = largest_logit(logits);
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - largest);
  return largest + std::log(sum);
}

}  // namespace loraxs
