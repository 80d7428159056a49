// generate/sampling.h: the next token from logits: greedy or drawn, and its log-probability.
#pragma once
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace loraxs {

/// In the order in which they act, which is vLLM's and transformers': bias, repetition, frequency and presence penalty,
/// temperature, top-k, top-p, min-p. Up to the temperature all is float32, whose range they must stay in.
struct SamplingOptions {
  std::map<int32_t, float> logit_bias;  // id -> added to its logit, -100 … 100; at most kMostBiases
  double repetition_penalty = 1;  // > 0; logits of tokens seen in prompt or answer are divided (negative: multiplied)
  double frequency_penalty = 0;   // -2 … 2; taken off the logit of a token for every time it is in the answer
  double presence_penalty = 0;    // -2 … 2; taken off once, if it is there
  double temperature = 0;         // ≥ 0; 0 is greedy: the largest logit, the lowest id among equals
  int64_t top_k = 0;              // the k most probable tokens; 0 = all
  double top_p = 1;               // in (0, 1]: the fewest tokens whose probabilities reach it
  double min_p = 0;               // in [0, 1): tokens at least this probable, as a share of the most probable one
  uint64_t seed = 0;              // draw n of a request depends on (seed, n) only
  int64_t top_logprobs = -1;      // so many of the most probable tokens beside each token; -1 = no log-probabilities

  static constexpr size_t kMostBiases = 300;
  bool greedy() const { return temperature == 0; }
  bool changes_logits() const {
    return repetition_penalty != 1 || frequency_penalty != 0 || presence_penalty != 0 || !logit_bias.empty();
  }
  /// Throws Error for a value out of range, or one that greedy decoding would ignore. `where` starts the message.
  void check(const std::string& where) const;
  /// Throws Error for a biased token that is none of the model's.
  void check_ids(const std::string& where, int64_t vocab) const;
};

/// What a request's penalties look at.
struct SeenTokens {
  std::span<const int32_t> prompt, answer;  // ids so far
};

struct TokenLogprob {
  int32_t id = 0;
  float logprob = 0;
};

struct SampledToken {
  int32_t id = 0;
  float logprob = 0;              // if asked for; of the model's own distribution: before bias, penalties, filters
  std::vector<TokenLogprob> top;  // most probable first
};

/// The largest of a token's logits; those of forbidden tokens may be -inf. Throws Error where no token can be chosen: a
/// NaN, +inf, or nothing above -inf. All below ask this first, so what they return is a token of the vocabulary.
float largest_logit(std::span<const float> logits);

/// The probability of every token after bias, penalties, temperature and filters; filtered tokens have 0. Not for
/// greedy options. Throws Error, also where bias, penalties and temperature take the logits out of float32's range.
std::vector<double> sampling_probabilities(std::span<const float> logits, const SeenTokens& seen,
                                           const SamplingOptions& options);

/// Token `index` of a request's answer. A draw takes Philox(counter = {index, 0, 0, 0}, key = seed) as a number in
/// [0, 1) and walks the probabilities in the order of ids. Throws Error as the two above.
SampledToken sample(std::span<const float> logits, const SeenTokens& seen, const SamplingOptions& options,
                    int64_t index);

/// Token `id` with its log-probability and the `top` most probable tokens. Throws Error as largest_logit.
SampledToken token_logprobs(std::span<const float> logits, int32_t id, int64_t top);

/// log Σ exp(logits), in float64. Throws Error as largest_logit.
double log_sum_exp(std::span<const float> logits);

}  // namespace loraxs
