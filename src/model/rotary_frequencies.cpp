#include "model/rotary_frequencies.h"

#include <ATen/ops/pow.h>

#include <numbers>

namespace loraxs {

torch::Tensor rotary_frequencies(const RotaryConfig& rotary, int64_t head_dim) {
  torch::NoGradGuard no_grad;
  const torch::Tensor exponents =
      torch::arange(0, head_dim, 2, torch::TensorOptions().dtype(torch::kInt64)).to(torch::kFloat32) / head_dim;
  torch::Tensor plain = at::pow(at::Scalar(rotary.theta), exponents).reciprocal();  // θ^(−2i/d)
  if (rotary.scaling == "linear") return plain / rotary.factor;
  if (rotary.scaling == "factors") return plain / torch::tensor(rotary.factors, torch::kFloat32);
  if (rotary.scaling != "llama3") return plain;
  // Llama 3.1: long waves are stretched by `factor`, short ones stay, a band between them is interpolated.
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

}  // namespace loraxs
