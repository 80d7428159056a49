#include "ops/rms_norm.h"

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

#include "ops/cpu_kernels.h"
#include "ops/simd.h"

namespace loraxs {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// out = z γ / rms with z = residual + y, or the residual alone where y is null. T: of projections, S: of the residual
template <typename T, typename S>
LORAXS_INLINE void rms_norm_row(S* sum, T* out, float* inverse_rms, const T* y, const S* residual, const float* weight,
                                float eps, int64_t hidden) {
  if (y != nullptr) {
#pragma omp simd
    for (int64_t c = 0; c < hidden; ++c) simd::narrow(sum + c, simd::widen(residual + c) + simd::widen(y + c));
  }
  const S* z = y != nullptr ? sum : residual;
  float squares = 0;
#pragma omp simd reduction(+ : squares)
  for (int64_t c = 0; c < hidden; ++c) squares += simd::widen(z + c) * simd::widen(z + c);
  const float inverse = 1.0F / std::sqrt(squares / static_cast<float>(hidden) + eps);
  *inverse_rms = inverse;
#pragma omp simd
  for (int64_t c = 0; c < hidden; ++c) simd::narrow(out + c, simd::widen(z + c) * inverse * weight[c]);
}

// dz = dsum + (g − x̂ mean(g x̂)) / rms with g = dout γ and x̂ = z / rms; residual and y both get dz
template <typename T>
LORAXS_INLINE void rms_norm_row_backward(T* dz, T* dy, const T* dsum, const T* dout, const T* z, float inverse,
                                         const float* weight, int64_t hidden, int64_t width) {
  float products = 0;
#pragma omp simd reduction(+ : products)
  for (int64_t c = 0; c < hidden; ++c) products += simd::widen(dout + c) * weight[c] * simd::widen(z + c);
  const float projection = products * inverse * inverse / static_cast<float>(hidden);
#pragma omp simd
  for (int64_t c = 0; c < hidden; ++c) {
    const float through = (simd::widen(dout + c) * weight[c] - simd::widen(z + c) * projection) * inverse;
    simd::narrow(dz + c, (dsum != nullptr ? simd::widen(dsum + c) : 0.0F) + through);
  }
  if (dy == nullptr) return;
  for (int64_t c = 0; c < hidden; ++c) dy[c] = dz[c];
  for (int64_t c = hidden; c < width; ++c) simd::narrow(dy + c, 0.0F);
}

template <typename T, typename S>
constexpr auto rms_norm_kernel = simd::kernel<rms_norm_row<T, S>>;
template <typename T>
constexpr auto rms_norm_backward_kernel = simd::kernel<rms_norm_row_backward<T>>;

/// `y` undefined: the norm alone. -> {sum (undefined without y), normed, 1/rms [rows]}
template <typename T, typename S>
variable_list forward_fast(const torch::Tensor& y, const torch::Tensor& residual, const torch::Tensor& weight,
                           double eps) {
  const int64_t rows = residual.size(0), hidden = residual.size(1);
  torch::Tensor sum, out = residual.new_empty({rows, hidden}, c10::CppTypeToScalarType<T>::value);
  if (y.defined()) sum = torch::empty_like(residual);
  torch::Tensor inverse = torch::empty({rows}, residual.options().dtype(torch::kFloat32));
  S* sum_data = sum.defined() ? sum.mutable_data_ptr<S>() : nullptr;
  T* out_data = out.mutable_data_ptr<T>();
  float* inverse_data = inverse.mutable_data_ptr<float>();
  const T* y_data = y.defined() ? y.const_data_ptr<T>() : nullptr;
  const S* residual_data = residual.const_data_ptr<S>();
  const int64_t y_stride = y.defined() ? y.stride(0) : 0;
  const float* weight_data = weight.const_data_ptr<float>();
  at::parallel_for(0, rows, kGrainRows, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      rms_norm_kernel<T, S>(sum_data == nullptr ? nullptr : sum_data + r * hidden, out_data + r * hidden,
                            inverse_data + r, y_data == nullptr ? nullptr : y_data + r * y_stride,
                            residual_data + r * hidden, weight_data, static_cast<float>(eps), hidden);
    }
  });
  return {sum, out, inverse};
}

/// -> {dz, dy (undefined where width is 0)}
template <typename T>
variable_list backward_fast(const torch::Tensor& dsum, const torch::Tensor& dout, const torch::Tensor& z,
                            const torch::Tensor& inverse, const torch::Tensor& weight, int64_t width) {
  const int64_t rows = z.size(0), hidden = z.size(1);
  torch::Tensor dz = torch::empty_like(z), dy;
  if (width > 0) dy = z.new_empty({rows, width});
  T *dz_data = dz.mutable_data_ptr<T>(), *dy_data = dy.defined() ? dy.mutable_data_ptr<T>() : nullptr;
  const T *dsum_data = dsum.defined() ? dsum.const_data_ptr<T>() : nullptr, *dout_data = dout.const_data_ptr<T>(),
          *z_data = z.const_data_ptr<T>();
  const float *inverse_data = inverse.const_data_ptr<float>(), *weight_data = weight.const_data_ptr<float>();
  at::parallel_for(0, rows, kGrainRows, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      rms_norm_backward_kernel<T>(dz_data + r * hidden, dy_data == nullptr ? nullptr : dy_data + r * width,
                                  dsum_data == nullptr ? nullptr : dsum_data + r * hidden, dout_data + r * hidden,
                                  z_data + r * hidden, inverse_data[r], weight_data, hidden, width);
    }
  });
  return {dz, dy};
}

variable_list forward_any(const torch::Tensor& y, const torch::Tensor& residual, const torch::Tensor& weight,
                          double eps, torch::ScalarType out) {
  if (out == torch::kFloat32) return forward_fast<float, float>(y, residual, weight, eps);
  return residual.scalar_type() == torch::kFloat32
             ? forward_fast<c10::BFloat16, float>(y, residual, weight, eps)
             : forward_fast<c10::BFloat16, c10::BFloat16>(y, residual, weight, eps);
}

variable_list backward_any(const torch::Tensor& dsum, const torch::Tensor& dout, const variable_list& saved,
                           int64_t width) {
  return saved[0].scalar_type() == torch::kFloat32
             ? backward_fast<float>(dsum, dout, saved[0], saved[1], saved[2], width)
             : backward_fast<c10::BFloat16>(dsum, dout, saved[0], saved[1], saved[2], width);
}

class RmsNorm : public torch::autograd::Function<RmsNorm> {
 public:
  static torch::Tensor forward(AutogradContext* ctx, const torch::Tensor& x, const torch::Tensor& weight, double eps) {
    const variable_list done = forward_any({}, x, weight, eps, x.scalar_type());
    ctx->save_for_backward({x, done[2], weight});
    return done[1];
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    torch::NoGradGuard no_grad;
    return {backward_any({}, grads[0].contiguous(), ctx->get_saved_variables(), 0)[0], {}, {}};
  }
};

class ResidualRmsNorm : public torch::autograd::Function<ResidualRmsNorm> {
 public:
  static variable_list forward(AutogradContext* ctx, const torch::Tensor& y, const torch::Tensor& residual,
                               const torch::Tensor& weight, double eps) {
    const variable_list done = forward_any(y, residual, weight, eps, y.scalar_type());
    ctx->save_for_backward({done[0], done[2], weight});
    ctx->saved_data["width"] = y.size(1);
    return {done[0], done[1]};
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    torch::NoGradGuard no_grad;
    const variable_list gradients = backward_any(grads[0].contiguous(), grads[1].contiguous(),
                                                 ctx->get_saved_variables(), ctx->saved_data["width"].toInt());
    return {gradients[1], gradients[0], {}, {}};
  }
};

/// Heads of x, rows `stride` apart, normalised in place; 1/rms [rows, heads] into `inverse`.
template <typename T>
void normalise_heads(const torch::Tensor& x, const torch::Tensor& weights, const torch::Tensor& inverse, double eps) {
  const int64_t heads = weights.size(0), head_dim = weights.size(1), stride = x.stride(0);
  T* data = x.mutable_data_ptr<T>();
  float* inverse_data = inverse.mutable_data_ptr<float>();
  const float* weight_data = weights.const_data_ptr<float>();
  at::parallel_for(0, x.size(0), kGrainRows, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * heads; i < end * heads; ++i) {
      T* head = data + i / heads * stride + i % heads * head_dim;
      rms_norm_kernel<T, T>(nullptr, head, inverse_data + i, nullptr, head, weight_data + i % heads * head_dim,
                            static_cast<float>(eps), head_dim);
    }
  });
}

/// The gradient dx [rows, width] turned in place into that of the heads z [rows, heads · head_dim] before the norm.
template <typename T>
void backward_heads(const torch::Tensor& dx, const torch::Tensor& z, const torch::Tensor& weights,
                    const torch::Tensor& inverse) {
  const int64_t heads = weights.size(0), head_dim = weights.size(1), stride = dx.stride(0);
  T* data = dx.mutable_data_ptr<T>();
  const T* z_data = z.const_data_ptr<T>();
  const float *inverse_data = inverse.const_data_ptr<float>(), *weight_data = weights.const_data_ptr<float>();
  at::parallel_for(0, dx.size(0), kGrainRows, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * heads; i < end * heads; ++i) {
      T* head = data + i / heads * stride + i % heads * head_dim;
      rms_norm_backward_kernel<T>(head, nullptr, nullptr, head, z_data + i * head_dim, inverse_data[i],
                                  weight_data + i % heads * head_dim, head_dim, head_dim);
    }
  });
}

class HeadRmsNorm : public torch::autograd::Function<HeadRmsNorm> {
 public:
  static torch::Tensor forward(AutogradContext* ctx, const torch::Tensor& x, const torch::Tensor& weights, double eps) {
    const torch::Tensor heads = x.narrow(1, 0, weights.numel()).clone(torch::MemoryFormat::Contiguous);
    const torch::Tensor inverse = torch::empty({x.size(0), weights.size(0)}, weights.options());
    if (x.scalar_type() == torch::kFloat32) {
      normalise_heads<float>(x, weights, inverse, eps);
    } else {
      normalise_heads<c10::BFloat16>(x, weights, inverse, eps);
    }
    ctx->save_for_backward({heads, weights, inverse});
    return x.detach();  // the same memory, see rotary_
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    torch::NoGradGuard no_grad;
    const auto saved = ctx->get_saved_variables();
    const torch::Tensor dx = grads[0].contiguous();  // the rotation's own buffer, nobody else reads it
    if (dx.scalar_type() == torch::kFloat32) {
      backward_heads<float>(dx, saved[0], saved[1], saved[2]);
    } else {
      backward_heads<c10::BFloat16>(dx, saved[0], saved[1], saved[2]);
    }
    return {dx, {}, {}};
  }
};

void expect_no_gradient(const torch::Tensor& x) {
  TORCH_CHECK(!(torch::GradMode::is_enabled() && x.requires_grad()), "rms_norm of two types has no gradient");
}

}  // namespace

torch::Tensor rms_norm(const torch::Tensor& x, const torch::Tensor& weight, double eps, torch::ScalarType out) {
  if (!on_cpu_kernels(x, weight)) return rms_norm_plain(x, weight, eps, out);
  if (x.scalar_type() == out) return RmsNorm::apply(x.contiguous(), weight, eps);
  expect_no_gradient(x);
  return forward_any({}, x.contiguous(), weight, eps, out)[1];
}

std::pair<torch::Tensor, torch::Tensor> residual_rms_norm(const torch::Tensor& y, const torch::Tensor& residual,
                                                          const torch::Tensor& weight, double eps) {
  if (!on_cpu_kernels(y, residual, weight)) return residual_rms_norm_plain(y, residual, weight, eps);
  variable_list done;
  if (y.scalar_type() == residual.scalar_type()) {
    done = ResidualRmsNorm::apply(y, residual.contiguous(), weight, eps);
  } else {
    expect_no_gradient(y);
    done = forward_any(y, residual.contiguous(), weight, eps, y.scalar_type());
  }
  return {done[0], done[1]};
}

torch::Tensor head_rms_norm_(const torch::Tensor& x, const torch::Tensor& weights, double eps) {
  return on_cpu_kernels(x, weights) ? HeadRmsNorm::apply(x, weights.contiguous(), eps)
                                    : head_rms_norm_plain(x, weights, eps);
}

torch::Tensor rms_norm_plain(const torch::Tensor& x, const torch::Tensor& weight, double eps, torch::ScalarType out) {
  const torch::Tensor wide = x.to(weight.scalar_type());
  return (wide * (wide.square().mean(-1, /*keepdim=*/true) + eps).rsqrt() * weight).to(out);
}

std::pair<torch::Tensor, torch::Tensor> residual_rms_norm_plain(const torch::Tensor& y, const torch::Tensor& residual,
                                                                const torch::Tensor& weight, double eps) {
  const torch::Tensor sum = residual + y.narrow(1, 0, residual.size(1));
  return {sum, rms_norm_plain(sum, weight, eps, y.scalar_type())};
}

torch::Tensor head_rms_norm_plain(const torch::Tensor& x, const torch::Tensor& weights, double eps) {
  const int64_t columns = weights.numel();
  const torch::Tensor heads = x.narrow(1, 0, columns).reshape({x.size(0), weights.size(0), weights.size(1)});
  return torch::cat({rms_norm_plain(heads, weights, eps, x.scalar_type()).reshape({x.size(0), columns}),
                     x.narrow(1, columns, x.size(1) - columns)},
                    1);
}

}  // namespace loraxs
