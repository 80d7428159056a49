#include "ops/rotary.h"

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include "ops/cpu_kernels.h"
#include "ops/simd.h"

namespace loraxs {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// (x₁, x₂) ← (x₁ cos − x₂ sin, x₂ cos + x₁ sin); the gradient turns back: sign −1
template <typename T>
LORAXS_INLINE void rotate_row(T* x, const float* cosine, const float* sine, int64_t heads, int64_t half, float sign) {
  for (int64_t h = 0; h < heads; ++h) {
    T *first = x + 2 * h * half, *second = first + half;
#pragma omp simd
    for (int64_t c = 0; c < half; ++c) {
      const float a = simd::widen(first + c), b = simd::widen(second + c), s = sine[c] * sign;
      simd::narrow(first + c, a * cosine[c] - b * s);
      simd::narrow(second + c, b * cosine[c] + a * s);
    }
  }
}

template <typename T>
void rotate_rows(const torch::Tensor& x, const RotaryAngles& angles, int64_t heads, float sign) {
  const int64_t half = angles.cosine.size(1), stride = x.stride(0);
  T* data = x.mutable_data_ptr<T>();
  const float *cosine = angles.cosine.const_data_ptr<float>(), *sine = angles.sine.const_data_ptr<float>();
  at::parallel_for(0, x.size(0), kGrainRows, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      simd::kernel<rotate_row<T>>(data + r * stride, cosine + r * half, sine + r * half, heads, half, sign);
    }
  });
}

void rotate_(const torch::Tensor& x, const RotaryAngles& angles, int64_t heads, float sign) {
  if (x.scalar_type() == torch::kFloat32) {
    rotate_rows<float>(x, angles, heads, sign);
  } else {
    rotate_rows<c10::BFloat16>(x, angles, heads, sign);
  }
}

class Rotary : public torch::autograd::Function<Rotary> {
 public:
  static torch::Tensor forward(AutogradContext* ctx, const torch::Tensor& x, const torch::Tensor& cosine,
                               const torch::Tensor& sine, int64_t heads) {
    rotate_(x, {cosine, sine}, heads, 1.0F);
    ctx->save_for_backward({cosine, sine});
    ctx->saved_data["heads"] = heads;
    return x.detach();  // the same memory: the projection before keeps nothing of its output but a copy of u
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    torch::NoGradGuard no_grad;
    const auto saved = ctx->get_saved_variables();
    const torch::Tensor dx = grads[0].contiguous();  // attention's own buffer, nobody else reads it
    rotate_(dx, {saved[0], saved[1]}, ctx->saved_data["heads"].toInt(), -1.0F);
    return {dx, {}, {}, {}};
  }
};

}  // namespace

RotaryAngles rotary_angles(const torch::Tensor& positions, const torch::Tensor& inverse_frequencies, double scale) {
  const torch::Tensor angles =
      positions.to(torch::kFloat32).unsqueeze(1) * inverse_frequencies;  // [rows, head_dim / 2]
  if (scale == 1) return {angles.cos(), angles.sin()};
  return {angles.cos() * scale, angles.sin() * scale};
}

torch::Tensor rotary_(const torch::Tensor& x, int64_t heads, const RotaryAngles& angles) {
  return on_cpu_kernels(x, angles.cosine, angles.sine) ? Rotary::apply(x, angles.cosine, angles.sine, heads)
                                                       : rotary_plain(x, heads, angles);
}

torch::Tensor rotary_plain(const torch::Tensor& x, int64_t heads, const RotaryAngles& angles) {
  const int64_t half = angles.cosine.size(1), rotated = heads * 2 * half;
  const auto type = x.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  const torch::Tensor cosine = angles.cosine.to(type).unsqueeze(1), sine = angles.sine.to(type).unsqueeze(1);
  const torch::Tensor pairs = x.narrow(1, 0, rotated).to(type).reshape({x.size(0), heads, 2 * half});
  const torch::Tensor a = pairs.narrow(2, 0, half), b = pairs.narrow(2, half, half);
  const torch::Tensor turned = torch::cat({a * cosine - b * sine, b * cosine + a * sine}, 2);
  return torch::cat(
      {turned.reshape({x.size(0), rotated}).to(x.scalar_type()), x.narrow(1, rotated, x.size(1) - rotated)}, 1);
}

}  // namespace loraxs
