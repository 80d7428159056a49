// ops/row_optimizer.h: AdamW over rows, one fused pass: norm, clip, moments, update.
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <span>
#include <vector>

namespace loraxs {

struct AdamWConfig {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.01;  // decoupled: θ ← θ − learning_rate · weight_decay · θ
  double max_grad_norm = 1.0;  // of the trained segments of a row; 0 = no clipping
};

/// A run of elements with one learning rate. Elements in no segment are not trained: they keep value and moments, and
/// their gradients do not count in the norm.
struct RateSegment {
  int64_t begin = 0;
  int64_t end = 0;
  double learning_rate = 0;
};

/// Values, gradients and moments of a bank: [adapters, row] each, one dtype, contiguous.
struct OptimizerRows {
  torch::Tensor values, gradients, first_moments, second_moments;
};

/// What a step multiplies gradients of this norm with: min(1, max_grad_norm / (norm + 1e-6)), torch's clip_grad_norm_;
/// 1 without clipping.
double clip_factor(double norm, double max_grad_norm);

/// One step of one row, with settings of its own.
struct RowStep {
  const OptimizerRows* rows = nullptr;  // the bank
  int64_t adapter = 0;
  int64_t step = 0;  // of this row; counts from 1
  std::vector<RateSegment> segments;
  AdamWConfig config;
};

/// AdamW steps (Loshchilov & Hutter 2019, in torch.optim.AdamW's order of operations) of different rows, of banks of
/// one dtype on one device, side by side: a row's bits do not depend on the others. Clips by clip_factor. Sets the
/// rows' gradients to zero. Returns each row's norm before clipping; where it is not finite nothing is changed. On
/// another device than the CPU the norms are fetched once, after all rows' work is on its way.
std::vector<double> adamw_steps_(const std::vector<RowStep>& steps);
/// Of one row.
double adamw_step_(const OptimizerRows& rows, int64_t adapter, int64_t step, std::span<const RateSegment> segments,
                   const AdamWConfig& config);

}  // namespace loraxs
