#include "ops/gated_mlp.h"

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include "ops/cpu_kernels.h"
#include "ops/simd.h"

namespace loraxs {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// silu(x) = x σ(x), slope σ (1 + x (1 − σ))
struct Silu {
  static LORAXS_INLINE void evaluate(float x, float& value, float& slope) {
    const float sigmoid = 1.0F / (1.0F + simd::exponential(-x));
    value = x * sigmoid;
    slope = sigmoid * (1.0F + x * (1.0F - sigmoid));
  }
};

// ½ x (1 + tanh t) = x σ(2t) with t = √(2/π) (x + 0.044715 x³)
struct GeluTanh {
  static LORAXS_INLINE void evaluate(float x, float& value, float& slope) {
    constexpr float kBeta = 1.5957691216057308F, kCubic = 0.044715F;  // 2 √(2/π)
    const float sigmoid = 1.0F / (1.0F + simd::exponential(-kBeta * (x + kCubic * x * x * x)));
    value = x * sigmoid;
    slope = sigmoid * (1.0F + x * (1.0F - sigmoid) * kBeta * (1.0F + 3.0F * kCubic * x * x));
  }
};

template <typename Activation, typename T>
LORAXS_INLINE void gated_rows(T* y, const T* x, int64_t rows, int64_t columns, int64_t width) {
  for (int64_t r = 0; r < rows; ++r) {
    const T *gate = x + r * width, *up = gate + columns;
    T* out = y + r * columns;
#pragma omp simd
    for (int64_t c = 0; c < columns; ++c) {
      float value, slope;
      Activation::evaluate(simd::widen(gate + c), value, slope);
      simd::narrow(out + c, value * simd::widen(up + c));
    }
  }
}

template <typename Activation, typename T>
LORAXS_INLINE void gated_rows_backward(T* dx, const T* dy, const T* x, int64_t rows, int64_t columns, int64_t width) {
  for (int64_t r = 0; r < rows; ++r) {
    const T *gate = x + r * width, *up = gate + columns, *gradient = dy + r * columns;
    T *d_gate = dx + r * width, *d_up = d_gate + columns;
#pragma omp simd
    for (int64_t c = 0; c < columns; ++c) {
      float value, slope;
      Activation::evaluate(simd::widen(gate + c), value, slope);
      const float d = simd::widen(gradient + c);
      simd::narrow(d_gate + c, d * simd::widen(up + c) * slope);
      simd::narrow(d_up + c, d * value);
    }
    for (int64_t c = 2 * columns; c < width; ++c) simd::narrow(dx + r * width + c, 0.0F);
  }
}

template <typename T>
torch::Tensor forward_fast(const torch::Tensor& x, int64_t columns, GateActivation activation) {
  torch::Tensor y = x.new_empty({x.size(0), columns});
  const int64_t width = x.size(1);
  T* out = y.mutable_data_ptr<T>();
  const T* in = x.const_data_ptr<T>();
  at::parallel_for(0, x.size(0), kGrainRows, [&](int64_t begin, int64_t end) {
    if (activation == GateActivation::kSilu) {
      simd::kernel<gated_rows<Silu, T>>(out + begin * columns, in + begin * width, end - begin, columns, width);
    } else {
      simd::kernel<gated_rows<GeluTanh, T>>(out + begin * columns, in + begin * width, end - begin, columns, width);
    }
  });
  return y;
}

template <typename T>
torch::Tensor backward_fast(const torch::Tensor& dy, const torch::Tensor& x, int64_t columns,
                            GateActivation activation) {
  torch::Tensor dx = torch::empty_like(x);
  const int64_t width = x.size(1);
  T* out = dx.mutable_data_ptr<T>();
  const T *gradient = dy.const_data_ptr<T>(), *in = x.const_data_ptr<T>();
  at::parallel_for(0, x.size(0), kGrainRows, [&](int64_t begin, int64_t end) {
    T* to = out + begin * width;
    const T *d = gradient + begin * columns, *from = in + begin * width;
    if (activation == GateActivation::kSilu) {
      simd::kernel<gated_rows_backward<Silu, T>>(to, d, from, end - begin, columns, width);
    } else {
      simd::kernel<gated_rows_backward<GeluTanh, T>>(to, d, from, end - begin, columns, width);
    }
  });
  return dx;
}

class GatedMlp : public torch::autograd::Function<GatedMlp> {
 public:
  static torch::Tensor forward(AutogradContext* ctx, const torch::Tensor& x, int64_t columns, int64_t activation) {
    ctx->save_for_backward({x});
    ctx->saved_data["columns"] = columns;
    ctx->saved_data["activation"] = activation;
    const auto kind = static_cast<GateActivation>(activation);
    return x.scalar_type() == torch::kFloat32 ? forward_fast<float>(x, columns, kind)
                                              : forward_fast<c10::BFloat16>(x, columns, kind);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    torch::NoGradGuard no_grad;
    const torch::Tensor x = ctx->get_saved_variables()[0], dy = grads[0].contiguous();
    const int64_t columns = ctx->saved_data["columns"].toInt();
    const auto kind = static_cast<GateActivation>(ctx->saved_data["activation"].toInt());
    return {x.scalar_type() == torch::kFloat32 ? backward_fast<float>(dy, x, columns, kind)
                                               : backward_fast<c10::BFloat16>(dy, x, columns, kind),
            {},
            {}};
  }
};

}  // namespace

torch::Tensor gated_mlp(const torch::Tensor& x, int64_t columns, GateActivation activation) {
  return on_cpu_kernels(x) ? GatedMlp::apply(x.contiguous(), columns, static_cast<int64_t>(activation))
                           : gated_mlp_plain(x, columns, activation);
}

torch::Tensor gated_mlp_plain(const torch::Tensor& x, int64_t columns, GateActivation activation) {
  const auto type = x.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  const torch::Tensor gate = x.narrow(1, 0, columns).to(type), up = x.narrow(1, columns, columns).to(type);
  const torch::Tensor active = activation == GateActivation::kSilu ? at::silu(gate) : at::gelu(gate, "tanh");
  return (active * up).to(x.scalar_type());
}

}  // namespace loraxs
