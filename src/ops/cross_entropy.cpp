#include "ops/cross_entropy.h"

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>

#include "ops/cpu_kernels.h"
#include "ops/simd.h"

namespace loraxs {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kChunkBytes = int64_t{32} << 20;  // of logits: 128 rows of 49,152 words in float32

int64_t chunk_rows(int64_t vocab, int64_t element_bytes) {
  constexpr int64_t kStep = 64, kMost = 512;  // round row counts: frozen_gemm keeps one kernel for all full chunks
  return std::clamp(kChunkBytes / (vocab * element_bytes) / kStep * kStep, kStep, kMost);
}

// loss = log Σ exp(z) − z[target]; in place z ← weight · (softmax(z) − onehot(target)) where a gradient is wanted
template <typename T>
LORAXS_INLINE float loss_row(T* z, int64_t vocab, int64_t target, float weight, bool gradient) {
  float largest = simd::widen(z);
#pragma omp simd reduction(max : largest)
  for (int64_t j = 0; j < vocab; ++j) largest = simd::widen(z + j) > largest ? simd::widen(z + j) : largest;
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t j = 0; j < vocab; ++j) sum += simd::exponential(simd::widen(z + j) - largest);
  const float loss = std::log(sum) - (simd::widen(z + target) - largest);
  if (!gradient) return loss;
  const float at_target = simd::exponential(simd::widen(z + target) - largest) / sum - 1.0F, factor = weight / sum;
#pragma omp simd
  for (int64_t j = 0; j < vocab; ++j) simd::narrow(z + j, simd::exponential(simd::widen(z + j) - largest) * factor);
  simd::narrow(z + target, at_target * weight);
  return loss;
}

/// Losses of a chunk's logits [rows, vocab] into `losses`; the logits become their own gradient where one is wanted.
template <typename T>
void losses_fast(const torch::Tensor& logits, const torch::Tensor& targets, const torch::Tensor& weights,
                 const torch::Tensor& losses, bool gradient) {
  const int64_t vocab = logits.size(1);
  T* z = logits.mutable_data_ptr<T>();
  const int64_t* target = targets.const_data_ptr<int64_t>();
  const float* weight = weights.const_data_ptr<float>();
  float* loss = losses.mutable_data_ptr<float>();
  at::parallel_for(0, logits.size(0), 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      loss[r] = simd::kernel<loss_row<T>>(z + r * vocab, vocab, target[r], weight[r], gradient);
    }
  });
}

void losses_plain(const torch::Tensor& logits, const torch::Tensor& targets, const torch::Tensor& weights,
                  const torch::Tensor& losses, bool gradient) {
  const torch::Tensor column = targets.unsqueeze(1);
  const torch::Tensor log_p = logits.to(losses.scalar_type()).log_softmax(1);
  losses.copy_(-log_p.gather(1, column).squeeze(1));
  if (!gradient) return;
  torch::Tensor d = log_p.exp();
  d.scatter_add_(1, column, torch::full_like(column, -1, d.options()));
  logits.copy_(d * weights.unsqueeze(1));
}

class LinearCrossEntropy : public torch::autograd::Function<LinearCrossEntropy> {
 public:
  static variable_list forward(AutogradContext* ctx, const torch::Tensor& hidden, const torch::Tensor& targets,
                               const torch::Tensor& weights, const FrozenWeight* projection, bool gradient) {
    const int64_t rows = hidden.size(0), vocab = projection->out_features();
    const torch::ScalarType dtype = hidden.scalar_type();
    const bool kernels = on_cpu_kernels(hidden, targets, weights);
    torch::Tensor losses = torch::empty({rows}, weights.options()), d_hidden;
    if (gradient) d_hidden = torch::empty_like(hidden);
    const int64_t step = chunk_rows(vocab, hidden.element_size());
    for (int64_t first = 0; first < rows; first += step) {
      const int64_t count = std::min(step, rows - first);
      const auto part = [&](const torch::Tensor& whole) { return whole.narrow(0, first, count); };
      const torch::Tensor logits = projection->forward(part(hidden), {});  // [count, vocab]
      const auto fast = dtype == torch::kFloat32 ? losses_fast<float> : losses_fast<c10::BFloat16>;
      (kernels ? fast : losses_plain)(logits, part(targets), part(weights), part(losses), gradient);
      if (gradient) part(d_hidden).copy_(projection->backward(logits));
    }
    ctx->mark_non_differentiable({losses});
    if (gradient) ctx->save_for_backward({d_hidden});
    return {(losses * weights).sum(), losses};
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    torch::NoGradGuard no_grad;
    return {ctx->get_saved_variables()[0] * grads[0].to(ctx->get_saved_variables()[0].scalar_type()), {}, {}, {}, {}};
  }
};

}  // namespace

CrossEntropy linear_cross_entropy(const torch::Tensor& hidden, const FrozenWeight& projection,
                                  const torch::Tensor& targets, const torch::Tensor& weights) {
  TORCH_CHECK(hidden.size(0) == targets.size(0) && targets.sizes() == weights.sizes(),
              "linear_cross_entropy: ", hidden.sizes(), " rows, ", targets.sizes(), " targets, ", weights.sizes(),
              " weights");
  const bool gradient = hidden.requires_grad() && at::GradMode::is_enabled();
  TORCH_CHECK(!gradient || projection.has_backward(), "linear_cross_entropy: a gradient without Wᵀ");
  const variable_list done = LinearCrossEntropy::apply(hidden.contiguous(), targets, weights, &projection, gradient);
  return {done[0], done[1]};
}

CrossEntropy linear_cross_entropy_reference(const torch::Tensor& hidden, const torch::Tensor& weight,
                                            const torch::Tensor& targets, const torch::Tensor& weights) {
  const torch::Tensor logits = hidden.matmul(weight.t()).to(weights.scalar_type());
  const torch::Tensor losses = -logits.log_softmax(1).gather(1, targets.unsqueeze(1)).squeeze(1);
  return {(losses * weights).sum(), losses.detach()};
}

}  // namespace loraxs
