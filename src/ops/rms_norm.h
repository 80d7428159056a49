// ops/rms_norm.h: residual and RMSNorm in one pass each way.
#pragma once
#include <torch/types.h>

#include <utility>

namespace loraxs {

/// RMSNorm (Zhang & Sennrich, arXiv 1910.07467) of rows x [rows, hidden]: x / sqrt(mean(x²) + eps) · weight, statistics
/// in float32 (float64). weight [hidden] frozen, float32 (float64 for float64). Keeps x and 1/rms only. The result has
/// the type `out`: that of x, or bfloat16 for an x in float32, and then without gradients.
torch::Tensor rms_norm(const torch::Tensor& x, const torch::Tensor& weight, double eps, torch::ScalarType out);

/// {sum, rms_norm(sum)} with sum = residual + y[:, :hidden], rounded to the residual's type before the norm as in
/// transformers; the norm has the type of y. y [rows, width ≥ hidden] is the wide output of an adapted projection; its
/// gradient has the same width, with zeros in the columns from `hidden` on. bfloat16 y beside a float32 residual:
/// without gradients.
std::pair<torch::Tensor, torch::Tensor> residual_rms_norm(const torch::Tensor& y, const torch::Tensor& residual,
                                                          const torch::Tensor& weight, double eps);

/// x [rows, width] with each of its first `weights.size(0)` heads normalised by its row of weights [heads, head_dim],
/// as above; the other columns stay. Works in x's own memory like rotary_ (ops/rotary.h). Keeps the heads as they were.
torch::Tensor head_rms_norm_(const torch::Tensor& x, const torch::Tensor& weights, double eps);

/// The same by ATen alone: on any device (ops/cpu_kernels.h). The last one out of place.
torch::Tensor rms_norm_plain(const torch::Tensor& x, const torch::Tensor& weight, double eps, torch::ScalarType out);
std::pair<torch::Tensor, torch::Tensor> residual_rms_norm_plain(const torch::Tensor& y, const torch::Tensor& residual,
                                                                const torch::Tensor& weight, double eps);
torch::Tensor head_rms_norm_plain(const torch::Tensor& x, const torch::Tensor& weights, double eps);

}  // namespace loraxs
