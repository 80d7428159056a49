#include "model/rotary_frequencies.h"

#include <ATen/ops/pow.h>

#include <cmath>
#include <numbers>

namespace loraxs {
namespace {

/// θ^(2i/d): radians go round once in 2π times as many tokens.
torch::Tensor wave_lengths(double theta, int64_t head_dim) {
  const torch::Tensor exponents =
      torch::arange(0, head_dim, 2, torch::TensorOptions().dtype(torch::kInt64)).to(torch::kFloat32) / head_dim;
  return at::pow(at::Scalar(theta), exponents);
}

/// Llama 3.1: long waves are stretched by `factor`, short ones stay, a band between them is interpolated.
torch::Tensor llama3_frequencies(const RotaryConfig& rotary, const torch::Tensor& plain) {
  const auto original = static_cast<double>(rotary.original_max_position_embeddings);
  const double longest_short = original / rotary.high_freq_factor, shortest_long = original / rotary.low_freq_factor;
  const torch::Tensor wave = plain.reciprocal() * (2 * std::numbers::pi);  // tokens a full turn takes
  const torch::Tensor stretched = torch::where(wave > shortest_long, plain / rotary.factor, plain);
  const torch::Tensor smooth =
      (wave.reciprocal() * original - rotary.low_freq_factor) / (rotary.high_freq_factor - rotary.low_freq_factor);
  const torch::Tensor between = (1 - smooth) * stretched / rotary.factor + smooth * stretched;
  const torch::Tensor is_between = (wave >= longest_short).logical_and(wave <= shortest_long);
  return torch::where(is_between, between, stretched);
}

/// YaRN (arXiv 2309.00071): pairs that turn more than beta_fast times within the original length stay, those that turn
/// less than beta_slow times are stretched, a ramp lies between.
torch::Tensor yarn_frequencies(const RotaryConfig& rotary, int64_t head_dim) {
  const auto width = static_cast<double>(head_dim);
  const auto pair_of = [&](double turns) {
    const auto original = static_cast<double>(rotary.original_max_position_embeddings);
    return width * std::log(original / (turns * 2 * std::numbers::pi)) / (2 * std::log(rotary.theta));
  };
  double low = pair_of(rotary.beta_fast), high = pair_of(rotary.beta_slow);
  if (rotary.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, width - 1);
  if (low == high) high += 0.001;  // no singularity
  const torch::Tensor waves = wave_lengths(rotary.theta, head_dim);
  const torch::Tensor stays = waves.reciprocal(), stretched = (rotary.factor * waves).reciprocal();
  const torch::Tensor pairs = torch::arange(head_dim / 2, torch::TensorOptions().dtype(torch::kFloat32));
  const torch::Tensor kept = 1 - ((pairs - low) / (high - low)).clamp(0, 1);
  return stretched * (1 - kept) + stays * kept;
}

}  // namespace

torch::Tensor rotary_frequencies(const RotaryConfig& rotary, int64_t head_dim, bool long_text) {
  torch::NoGradGuard no_grad;
  if (rotary.scaling == "yarn") return yarn_frequencies(rotary, head_dim);
  if (rotary.scaling == "longrope") {
    const torch::Tensor factors = torch::tensor(long_text ? rotary.long_factors : rotary.factors, torch::kFloat32);
    return (factors * wave_lengths(rotary.theta, head_dim)).reciprocal();
  }
  const torch::Tensor plain = wave_lengths(rotary.theta, head_dim).reciprocal();  // θ^(−2i/d)
  if (rotary.scaling == "linear") return plain / rotary.factor;
  if (rotary.scaling == "factors") return plain / torch::tensor(rotary.factors, torch::kFloat32);
  return rotary.scaling == "llama3" ? llama3_frequencies(rotary, plain) : plain;
}

}  // namespace loraxs
