#include "ops/row_optimizer.h"

#include <cmath>

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

LORAXS_KERNEL void update_float(float* value, const float* gradient, float* first, float* second, int64_t count,
                                const Factors<float>& factors) {
  update(value, gradient, first, second, count, factors);
}
LORAXS_KERNEL void update_double(double* value, const double* gradient, double* first, double* second, int64_t count,
                                 const Factors<double>& factors) {
  update(value, gradient, first, second, count, factors);
}

template <typename T>
double step_row(const OptimizerRows& rows, int64_t adapter, int64_t step, std::span<const RateSegment> segments,
                const AdamWConfig& config) {
  const auto row_of = [&](const torch::Tensor& bank) { return bank.mutable_data_ptr<T>() + adapter * bank.size(1); };
  T *value = row_of(rows.values), *gradient = row_of(rows.gradients), *first = row_of(rows.first_moments),
    *second = row_of(rows.second_moments);
  double squares = 0;  // one chain of additions: the norm must not depend on the number of threads
  for (const RateSegment& segment : segments) {
    for (int64_t i = segment.begin; i < segment.end; ++i) squares += static_cast<double>(gradient[i]) * gradient[i];
  }
  const double norm = std::sqrt(squares);
  if (!std::isfinite(norm)) return norm;
  const double clip = config.max_grad_norm > 0 ? std::min(1.0, config.max_grad_norm / (norm + 1e-6)) : 1.0;
  const double correction1 = 1 - std::pow(config.beta1, step), correction2 = 1 - std::pow(config.beta2, step);
  for (const RateSegment& segment : segments) {
    const Factors<T> factors{.clip = static_cast<T>(clip),
                             .beta1 = static_cast<T>(config.beta1),
                             .beta2 = static_cast<T>(config.beta2),
                             .eps = static_cast<T>(config.eps),
                             .decay = static_cast<T>(1 - segment.learning_rate * config.weight_decay),
                             .step_size = static_cast<T>(segment.learning_rate / correction1),
                             .correction = static_cast<T>(std::sqrt(correction2))};
    const int64_t at = segment.begin, count = segment.end - segment.begin;
    if constexpr (std::is_same_v<T, float>) {
      update_float(value + at, gradient + at, first + at, second + at, count, factors);
    } else {
      update_double(value + at, gradient + at, first + at, second + at, count, factors);
    }
  }
  std::fill_n(gradient, rows.gradients.size(1), T(0));
  return norm;
}

}  // namespace

double adamw_step_(const OptimizerRows& rows, int64_t adapter, int64_t step, std::span<const RateSegment> segments,
                   const AdamWConfig& config) {
  TORCH_CHECK(rows.values.device().is_cpu(), "adamw_step_: rows are kept on the CPU");
  if (rows.values.scalar_type() == torch::kFloat64) return step_row<double>(rows, adapter, step, segments, config);
  return step_row<float>(rows, adapter, step, segments, config);
}

}  // namespace loraxs
