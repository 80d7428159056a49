#include "ops/residual_norm.h"

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

#include "ops/cpu_kernels.h"
#include "ops/simd.h"

namespace loraxs {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct DropRow {  // dropout of one row; threshold 0 = off
  uint64_t key;
  uint32_t position, threshold;
  float scale;
};

// out = x̂ γ + β with x̂ = (z − mean) / σ and z = residual + drop(y)
template <typename T>
LORAXS_INLINE void residual_norm_row(T* out, T* normalized, float* inverse_sigma, const T* y, const T* residual,
                                     const float* weight, const float* bias, float eps, int64_t hidden,
                                     const DropRow& drop, float* z, uint16_t* lanes) {
  if (drop.threshold > 0) {
    simd::dropout_lanes(drop.key, drop.position, 0, hidden, lanes);
#pragma omp simd
    for (int64_t c = 0; c < hidden; ++c) {
      z[c] = simd::widen(residual + c) + (lanes[c] >= drop.threshold ? simd::widen(y + c) * drop.scale : 0.0F);
    }
  } else {
#pragma omp simd
    for (int64_t c = 0; c < hidden; ++c) z[c] = simd::widen(residual + c) + simd::widen(y + c);
  }
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t c = 0; c < hidden; ++c) sum += z[c];
  const float mean = sum / static_cast<float>(hidden);
  float squares = 0;
#pragma omp simd reduction(+ : squares)
  for (int64_t c = 0; c < hidden; ++c) squares += (z[c] - mean) * (z[c] - mean);
  const float inverse = 1.0F / std::sqrt(squares / static_cast<float>(hidden) + eps);
  *inverse_sigma = inverse;
#pragma omp simd
  for (int64_t c = 0; c < hidden; ++c) {
    const float value = (z[c] - mean) * inverse;
    simd::narrow(normalized + c, value);
    simd::narrow(out + c, value * weight[c] + bias[c]);
  }
}

// dz = (g − mean(g) − x̂ mean(g x̂)) / σ with g = dout γ; the residual gets dz, y gets drop(dz)
template <typename T>
LORAXS_INLINE void residual_norm_row_backward(T* dy, T* dresidual, const T* dout, const T* normalized,
                                              float inverse_sigma, const float* weight, int64_t hidden, int64_t width,
                                              const DropRow& drop, uint16_t* lanes) {
  float sum = 0, products = 0;
#pragma omp simd reduction(+ : sum, products)
  for (int64_t c = 0; c < hidden; ++c) {
    const float g = simd::widen(dout + c) * weight[c];
    sum += g;
    products += g * simd::widen(normalized + c);
  }
  const float mean = sum / static_cast<float>(hidden), projection = products / static_cast<float>(hidden);
  if (drop.threshold > 0) {
    simd::dropout_lanes(drop.key, drop.position, 0, hidden, lanes);
#pragma omp simd
    for (int64_t c = 0; c < hidden; ++c) {
      const float dz =
          (simd::widen(dout + c) * weight[c] - mean - simd::widen(normalized + c) * projection) * inverse_sigma;
      simd::narrow(dresidual + c, dz);
      simd::narrow(dy + c, lanes[c] >= drop.threshold ? dz * drop.scale : 0.0F);
    }
  } else {
#pragma omp simd
    for (int64_t c = 0; c < hidden; ++c) {
      const float dz =
          (simd::widen(dout + c) * weight[c] - mean - simd::widen(normalized + c) * projection) * inverse_sigma;
      simd::narrow(dresidual + c, dz);
      simd::narrow(dy + c, dz);
    }
  }
  for (int64_t c = hidden; c < width; ++c) simd::narrow(dy + c, 0.0F);
}

struct ResidualNormCall : torch::CustomClassHolder {
  Dropout dropout;
  RowKeys rows;
  int64_t width = 0;

  DropRow row(int64_t r) const {
    if (!dropout.active()) return {};
    return {.key = dropout.key(static_cast<uint64_t>(rows.keys.const_data_ptr<int64_t>()[r])),
            .position = static_cast<uint32_t>(rows.positions.const_data_ptr<int32_t>()[r]),
            .threshold = dropout.threshold,
            .scale = static_cast<float>(dropout.scale())};
  }
};

template <typename T>
torch::Tensor forward_fast(const ResidualNormCall& call, const torch::Tensor& y, const torch::Tensor& residual,
                           const torch::Tensor& weight, const torch::Tensor& bias, double eps,
                           torch::Tensor& normalized, torch::Tensor& inverse_sigma) {
  const int64_t rows = residual.size(0), hidden = residual.size(1);
  torch::Tensor out = torch::empty_like(residual);
  normalized = torch::empty_like(residual);
  inverse_sigma = torch::empty({rows}, residual.options().dtype(torch::kFloat32));
  T *out_data = out.mutable_data_ptr<T>(), *normalized_data = normalized.mutable_data_ptr<T>();
  float* inverse_data = inverse_sigma.mutable_data_ptr<float>();
  const T *y_data = y.const_data_ptr<T>(), *residual_data = residual.const_data_ptr<T>();
  const float *weight_data = weight.const_data_ptr<float>(), *bias_data = bias.const_data_ptr<float>();
  at::parallel_for(0, rows, kGrainRows, [&](int64_t begin, int64_t end) {
    std::vector<float> z(hidden);
    std::vector<uint16_t> lanes(simd::lanes_size(hidden));
    for (int64_t r = begin; r < end; ++r) {
      simd::kernel<residual_norm_row<T>>(out_data + r * hidden, normalized_data + r * hidden, inverse_data + r,
                                         y_data + r * y.stride(0), residual_data + r * hidden, weight_data, bias_data,
                                         static_cast<float>(eps), hidden, call.row(r), z.data(), lanes.data());
    }
  });
  return out;
}

template <typename T>
variable_list backward_fast(const ResidualNormCall& call, const torch::Tensor& dout, const torch::Tensor& normalized,
                            const torch::Tensor& inverse_sigma, const torch::Tensor& weight) {
  const int64_t rows = normalized.size(0), hidden = normalized.size(1), width = call.width;
  torch::Tensor dy = normalized.new_empty({rows, width}), dresidual = torch::empty_like(normalized);
  T *dy_data = dy.mutable_data_ptr<T>(), *dresidual_data = dresidual.mutable_data_ptr<T>();
  const T *dout_data = dout.const_data_ptr<T>(), *normalized_data = normalized.const_data_ptr<T>();
  const float *inverse_data = inverse_sigma.const_data_ptr<float>(), *weight_data = weight.const_data_ptr<float>();
  at::parallel_for(0, rows, kGrainRows, [&](int64_t begin, int64_t end) {
    std::vector<uint16_t> lanes(simd::lanes_size(hidden));
    for (int64_t r = begin; r < end; ++r) {
      simd::kernel<residual_norm_row_backward<T>>(dy_data + r * width, dresidual_data + r * hidden,
                                                  dout_data + r * hidden, normalized_data + r * hidden, inverse_data[r],
                                                  weight_data, hidden, width, call.row(r), lanes.data());
    }
  });
  return {dy, dresidual, {}, {}, {}, {}, {}};
}

class ResidualNorm : public torch::autograd::Function<ResidualNorm> {
 public:
  static torch::Tensor forward(AutogradContext* ctx, const torch::Tensor& y, const torch::Tensor& residual,
                               const torch::Tensor& weight, const torch::Tensor& bias, double eps,
                               const Dropout* dropout, const RowKeys* rows) {
    auto call = c10::make_intrusive<ResidualNormCall>();
    call->dropout = *dropout;
    call->rows = *rows;
    call->width = y.size(1);
    torch::Tensor normalized, inverse_sigma;
    torch::Tensor out =
        y.scalar_type() == torch::kFloat32
            ? forward_fast<float>(*call, y, residual, weight, bias, eps, normalized, inverse_sigma)
            : forward_fast<c10::BFloat16>(*call, y, residual, weight, bias, eps, normalized, inverse_sigma);
    ctx->save_for_backward({normalized, inverse_sigma, weight});
    ctx->saved_data["call"] = c10::IValue::make_capsule(call);
    return out;
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    torch::NoGradGuard no_grad;
    const auto call = c10::static_intrusive_pointer_cast<ResidualNormCall>(ctx->saved_data["call"].toCapsule());
    const auto saved = ctx->get_saved_variables();
    const torch::Tensor dout = grads[0].contiguous();
    return saved[0].scalar_type() == torch::kFloat32
               ? backward_fast<float>(*call, dout, saved[0], saved[1], saved[2])
               : backward_fast<c10::BFloat16>(*call, dout, saved[0], saved[1], saved[2]);
  }
};

}  // namespace

torch::Tensor residual_norm(const torch::Tensor& y, const torch::Tensor& residual, const torch::Tensor& weight,
                            const torch::Tensor& bias, double eps, const Dropout& dropout, const RowKeys& rows) {
  if (!on_cpu_kernels(y, residual, weight, bias, rows.keys, rows.positions)) {
    return residual_norm_plain(y, residual, weight, bias, eps, dropout, rows);
  }
  return ResidualNorm::apply(y, residual.contiguous(), weight, bias, eps, &dropout, &rows);
}

torch::Tensor residual_norm_plain(const torch::Tensor& y, const torch::Tensor& residual, const torch::Tensor& weight,
                                  const torch::Tensor& bias, double eps, const Dropout& dropout, const RowKeys& rows) {
  const int64_t hidden = residual.size(1);
  const auto dtype = weight.scalar_type();
  torch::Tensor branch = y.narrow(1, 0, hidden).to(dtype);
  if (dropout.active()) branch = branch * dropout_mask(dropout, rows, hidden).to(branch.options());
  return at::layer_norm(residual.to(dtype) + branch, {hidden}, weight, bias, eps).to(y.scalar_type());
}

}  // namespace loraxs
