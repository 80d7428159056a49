#include "ops/gelu.h"

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include "ops/cpu_kernels.h"
#include "ops/simd.h"

namespace loraxs {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

template <typename T>
LORAXS_INLINE void gelu_row(T* y, const T* x, int64_t columns) {
#pragma omp simd
  for (int64_t c = 0; c < columns; ++c) {
    const float value = simd::widen(x + c);
    float distribution, density;
    simd::normal(value, distribution, density);
    simd::narrow(y + c, value * distribution);
  }
}

// d/dx x Φ(x) = Φ(x) + x φ(x)
template <typename T>
LORAXS_INLINE void gelu_row_backward(T* dx, const T* dy, const T* x, int64_t columns, int64_t width) {
#pragma omp simd
  for (int64_t c = 0; c < columns; ++c) {
    const float value = simd::widen(x + c);
    float distribution, density;
    simd::normal(value, distribution, density);
    simd::narrow(dx + c, simd::widen(dy + c) * (distribution + value * density));
  }
  for (int64_t c = columns; c < width; ++c) simd::narrow(dx + c, 0.0F);
}

template <typename T>
LORAXS_INLINE void gelu_rows(T* y, const T* x, int64_t rows, int64_t columns, int64_t width) {
  for (int64_t r = 0; r < rows; ++r) gelu_row(y + r * columns, x + r * width, columns);
}
template <typename T>
LORAXS_INLINE void gelu_rows_backward(T* dx, const T* dy, const T* x, int64_t rows, int64_t columns, int64_t width) {
  for (int64_t r = 0; r < rows; ++r) gelu_row_backward(dx + r * width, dy + r * columns, x + r * width, columns, width);
}

template <typename T>
torch::Tensor forward_fast(const torch::Tensor& x, int64_t columns) {
  torch::Tensor y = x.new_empty({x.size(0), columns});
  const int64_t width = x.size(1);
  T* out = y.mutable_data_ptr<T>();
  const T* in = x.const_data_ptr<T>();
  at::parallel_for(0, x.size(0), kGrainRows, [&](int64_t begin, int64_t end) {
    simd::kernel<gelu_rows<T>>(out + begin * columns, in + begin * width, end - begin, columns, width);
  });
  return y;
}

template <typename T>
torch::Tensor backward_fast(const torch::Tensor& dy, const torch::Tensor& x, int64_t columns) {
  torch::Tensor dx = torch::empty_like(x);
  const int64_t width = x.size(1);
  T* out = dx.mutable_data_ptr<T>();
  const T *gradient = dy.const_data_ptr<T>(), *in = x.const_data_ptr<T>();
  at::parallel_for(0, x.size(0), kGrainRows, [&](int64_t begin, int64_t end) {
    simd::kernel<gelu_rows_backward<T>>(out + begin * width, gradient + begin * columns, in + begin * width,
                                        end - begin, columns, width);
  });
  return dx;
}

class Gelu : public torch::autograd::Function<Gelu> {
 public:
  static torch::Tensor forward(AutogradContext* ctx, const torch::Tensor& x, int64_t columns) {
    ctx->save_for_backward({x});
    ctx->saved_data["columns"] = columns;
    return x.scalar_type() == torch::kFloat32 ? forward_fast<float>(x, columns)
                                              : forward_fast<c10::BFloat16>(x, columns);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    torch::NoGradGuard no_grad;
    const torch::Tensor x = ctx->get_saved_variables()[0], dy = grads[0].contiguous();
    const int64_t columns = ctx->saved_data["columns"].toInt();
    return {x.scalar_type() == torch::kFloat32 ? backward_fast<float>(dy, x, columns)
                                               : backward_fast<c10::BFloat16>(dy, x, columns),
            {}};
  }
};

}  // namespace

torch::Tensor gelu(const torch::Tensor& x, int64_t columns) {
  return on_cpu_kernels(x) ? Gelu::apply(x.contiguous(), columns) : gelu_plain(x, columns);
}

torch::Tensor gelu_plain(const torch::Tensor& x, int64_t columns) { return at::gelu(x.narrow(1, 0, columns)); }

}  // namespace loraxs
