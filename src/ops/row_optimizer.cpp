#include "ops/row_optimizer.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "ops/simd.h"

namespace loraxs {
namespace {

template <typename T>
struct Factors {
  T clip, beta1, beta2, eps, decay, step_size, correction;
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
double step_row(const OptimizerRows& rows, int64_t adapter, int64_t step, std::span<const RateSegment> segments,
                const AdamWConfig& config) {
  const auto row_of = [&](const torch::Tensor& bank) { return bank.mutable_data_ptr<T>() + adapter * bank.size(1); };
  T *value = row_of(rows.values), *gradient = row_of(rows.gradients), *first = row_of(rows.first_moments),
    *second = row_of(rows.second_moments);
  const double squares = sum_squares(gradient, segments);
  const double norm = std::sqrt(squares);
  if (!std::isfinite(norm)) return norm;
  const double clip = clip_factor(norm, config.max_grad_norm);
  const double correction1 = 1 - std::pow(config.beta1, step), correction2 = 1 - std::pow(config.beta2, step);
  for (const RateSegment& segment : segments) {
    const Factors<T> factors{.clip = static_cast<T>(clip),
                             .beta1 = static_cast<T>(config.beta1),
                             .beta2 = static_cast<T>(config.beta2),
                             .eps = static_cast<T>(config.eps),
                             .decay = static_cast<T>(1 - segment.learning_rate * config.weight_decay),
                             .step_size = static_cast<T>(segment.learning_rate / correction1),
                             .correction = static_cast<T>(std::sqrt(correction2))};
    for_blocks(segment.begin, segment.end, [&](int64_t at, int64_t end, int64_t) {
      update_kernel<T>(value + at, gradient + at, first + at, second + at, end - at, factors);
    });
  }
  for_blocks(0, rows.gradients.size(1),
             [&](int64_t at, int64_t end, int64_t) { std::fill(gradient + at, gradient + end, T(0)); });
  return norm;
}

}  // namespace

double clip_factor(double norm, double max_grad_norm) {
  return max_grad_norm > 0 ? std::min(1.0, max_grad_norm / (norm + 1e-6)) : 1.0;
}

double adamw_step_(const OptimizerRows& rows, int64_t adapter, int64_t step, std::span<const RateSegment> segments,
                   const AdamWConfig& config) {
  TORCH_CHECK(rows.values.device().is_cpu(), "adamw_step_: rows are kept on the CPU");
  if (rows.values.scalar_type() == torch::kFloat64) return step_row<double>(rows, adapter, step, segments, config);
  return step_row<float>(rows, adapter, step, segments, config);
}

}  // namespace loraxs
