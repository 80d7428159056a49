#include "ops/row_optimizer.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "ops/cpu_kernels.h"
#include "ops/simd.h"

namespace loraxs {
namespace {

template <typename T>
struct Factors {
  T clip, beta1, beta2, eps, decay, step_size, correction;

  Factors(double clip_by, double rate, int64_t step, const AdamWConfig& config)
      : clip(static_cast<T>(clip_by)),
        beta1(static_cast<T>(config.beta1)),
        beta2(static_cast<T>(config.beta2)),
        eps(static_cast<T>(config.eps)),
        decay(static_cast<T>(1 - rate * config.weight_decay)),
        step_size(static_cast<T>(rate / (1 - std::pow(config.beta1, step)))),
        correction(static_cast<T>(std::sqrt(1 - std::pow(config.beta2, step)))) {}
};

template <typename T>
LORAXS_INLINE void update(T* value, const T* gradient, T* first, T* second, int64_t count, const Factors<T>& f) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    const T g = gradient[i] * f.clip;
    first[i] = first[i] + (g - first[i]) * (T(1) - f.beta1);
    second[i] = second[i] * f.beta2 + (T(1) - f.beta2) * g * g;
    const T denominator = std::sqrt(second[i]) / f.correction + f.eps;
    value[i] = value[i] * f.decay - f.step_size * (first[i] / denominator);
  }
}

template <typename T>
constexpr auto update_kernel = simd::kernel<update<T>>;

constexpr int64_t kBlock = 1 << 16;
int64_t num_blocks(int64_t begin, int64_t end) { return (end - begin + kBlock - 1) / kBlock; }

/// `use`(begin, end, number) for blocks of fixed bounds, so that bits do not depend on how many threads share a long
/// row.
template <typename Use>
void for_blocks(int64_t begin, int64_t end, const Use& use) {
  at::parallel_for(0, num_blocks(begin, end), 1, [&](int64_t first, int64_t last) {
    for (int64_t block = first; block < last; ++block) {
      use(begin + block * kBlock, std::min(begin + (block + 1) * kBlock, end), block);
    }
  });
}

/// One chain of additions per block, then one over blocks.
template <typename T>
double sum_squares(const T* gradient, std::span<const RateSegment> segments) {
  double sum = 0;
  for (const RateSegment& segment : segments) {
    std::vector<double> sums(num_blocks(segment.begin, segment.end));
    for_blocks(segment.begin, segment.end, [&](int64_t begin, int64_t end, int64_t block) {
      double squares = 0;
      for (int64_t i = begin; i < end; ++i) squares += static_cast<double>(gradient[i]) * gradient[i];
      sums[block] = squares;
    });
    for (const double block : sums) sum += block;
  }
  return sum;
}

template <typename T>
double step_row(const RowStep& row) {
  const OptimizerRows& rows = *row.rows;
  const auto row_of = [&](const torch::Tensor& bank) {
    return bank.mutable_data_ptr<T>() + row.adapter * bank.size(1);
  };
  T *value = row_of(rows.values), *gradient = row_of(rows.gradients), *first = row_of(rows.first_moments),
    *second = row_of(rows.second_moments);
  const double squares = sum_squares(gradient, row.segments);
  const double norm = std::sqrt(squares);
  if (!std::isfinite(norm)) return norm;
  const double clip = clip_factor(norm, row.config.max_grad_norm);
  for (const RateSegment& segment : row.segments) {
    const Factors<T> factors(clip, segment.learning_rate, row.step, row.config);
    for_blocks(segment.begin, segment.end, [&](int64_t at, int64_t end, int64_t) {
      update_kernel<T>(value + at, gradient + at, first + at, second + at, end - at, factors);
    });
  }
  for_blocks(0, rows.gradients.size(1),
             [&](int64_t at, int64_t end, int64_t) { std::fill(gradient + at, gradient + end, T(0)); });
  return norm;
}

/// step_row by ATen alone; nobody waits for the device. -> the norm, a float64 scalar there.
template <typename T>
torch::Tensor step_row_plain(const RowStep& row) {
  const OptimizerRows& rows = *row.rows;
  const AdamWConfig& config = row.config;
  const auto row_of = [&](const torch::Tensor& bank) { return bank.select(0, row.adapter); };
  const torch::Tensor value = row_of(rows.values), gradient = row_of(rows.gradients),
                      first = row_of(rows.first_moments), second = row_of(rows.second_moments);
  torch::Tensor squares = torch::zeros({}, gradient.options().dtype(torch::kFloat64));
  for (const RateSegment& s : row.segments) {
    squares += gradient.slice(0, s.begin, s.end).to(torch::kFloat64).square().sum();
  }
  const torch::Tensor norm = squares.sqrt(), stays = norm.isfinite().logical_not();
  const torch::Tensor clip = config.max_grad_norm > 0
                                 ? (config.max_grad_norm / (norm + 1e-6)).clamp_max(1).to(gradient.scalar_type())
                                 : torch::ones({}, gradient.options());
  for (const RateSegment& s : row.segments) {
    const Factors<T> f(1, s.learning_rate, row.step, config);
    const auto part = [&](const torch::Tensor& whole) { return whole.slice(0, s.begin, s.end); };
    const torch::Tensor g = part(gradient) * clip;
    const torch::Tensor new_first = part(first) + (g - part(first)) * (T(1) - f.beta1);
    const torch::Tensor new_second = part(second) * f.beta2 + g * g * (T(1) - f.beta2);
    const torch::Tensor denominator = new_second.sqrt() / f.correction + f.eps;
    const torch::Tensor new_value = part(value) * f.decay - new_first / denominator * f.step_size;
    part(first).copy_(torch::where(stays, part(first), new_first));
    part(second).copy_(torch::where(stays, part(second), new_second));
    part(value).copy_(torch::where(stays, part(value), new_value));
  }
  gradient.masked_fill_(stays.logical_not(), 0);
  return norm;
}

std::vector<double> step_rows_plain(const std::vector<RowStep>& steps) {
  torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> norms;
  const bool wide = steps.front().rows->values.scalar_type() == torch::kFloat64;
  const auto step_one = wide ? step_row_plain<double> : step_row_plain<float>;
  norms.reserve(steps.size());
  for (const RowStep& row : steps) norms.push_back(step_one(row));
  const torch::Tensor fetched = torch::stack(norms).cpu();
  return {fetched.const_data_ptr<double>(), fetched.const_data_ptr<double>() + fetched.numel()};
}

}  // namespace

double clip_factor(double norm, double max_grad_norm) {
  return max_grad_norm > 0 ? std::min(1.0, max_grad_norm / (norm + 1e-6)) : 1.0;
}

std::vector<double> adamw_steps_(const std::vector<RowStep>& steps) {
  if (steps.empty()) return {};
  const auto is_here = [](const RowStep& row) {
    return on_cpu(row.rows->values, row.rows->gradients, row.rows->first_moments, row.rows->second_moments);
  };
  if (!std::all_of(steps.begin(), steps.end(), is_here)) return step_rows_plain(steps);
  const auto step_one =
      steps.front().rows->values.scalar_type() == torch::kFloat64 ? step_row<double> : step_row<float>;
  std::vector<double> norms(steps.size());
  at::parallel_for(0, static_cast<int64_t>(steps.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) norms[i] = step_one(steps[i]);
  });
  return norms;
}

double adamw_step_(const OptimizerRows& rows, int64_t adapter, int64_t step, std::span<const RateSegment> segments,
                   const AdamWConfig& config) {
  const RowStep row{.rows = &rows,
                    .adapter = adapter,
                    .step = step,
                    .segments = {segments.begin(), segments.end()},
                    .config = config};
  return adamw_steps_({row}).front();
}

}  // namespace loraxs
