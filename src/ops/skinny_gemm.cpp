#include "ops/skinny_gemm.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "ops/cpu_kernels.h"
#include "ops/simd.h"

namespace loraxs {
namespace {

constexpr int64_t kTileRows = 4;
constexpr int64_t kDecodeRows = 24;
constexpr int64_t kGrainWork = 1 << 16;  // multiply-adds below which a second thread does not pay

using F = float;
using H = c10::BFloat16;

template <typename A, typename B, typename C>
LORAXS_INLINE void gemm_body(void* c, int64_t c_stride, const void* a, int64_t a_row, int64_t a_k, const void* b,
                             int64_t b_stride, int64_t begin, int64_t end, int64_t n, int64_t k, float alpha,
                             bool accumulate) {
  simd::gemm_rows(static_cast<C*>(c), c_stride, static_cast<const A*>(a), a_row, a_k, static_cast<const B*>(b),
                  b_stride, begin, end, n, k, alpha, accumulate);
}

using Kernel = void (*)(void*, int64_t, const void*, int64_t, int64_t, const void*, int64_t, int64_t, int64_t, int64_t,
                        int64_t, float, bool);

Kernel kernel_for(const torch::Tensor& c, const torch::Tensor& a, const torch::Tensor& b) {
  if (!on_cpu(c, a, b)) return nullptr;
  const auto is = [](const torch::Tensor& t, torch::ScalarType type) { return t.scalar_type() == type; };
  const auto f = torch::kFloat32, h = torch::kBFloat16;
  if (is(a, f) && is(b, f) && is(c, f)) return simd::kernel<gemm_body<F, F, F>>;
  if (is(a, h) && is(b, f) && is(c, f))
    return simd::kernel<gemm_body<H, F, F>>;  // v = dy b, z = u Rᵀ with bfloat16 activations
  if (is(a, f) && is(b, f) && is(c, h))
    return simd::kernel<gemm_body<F, F, H>>;  // y += z bᵀ, [· | v R] into bfloat16 buffers
  if (is(a, f) && is(b, h) && is(c, f)) return simd::kernel<gemm_body<F, H, F>>;  // dR += vᵀ u
  return nullptr;
}

}  // namespace

void skinny_gemm_(const torch::Tensor& c, const torch::Tensor& a, const torch::Tensor& b, double alpha,
                  bool accumulate) {
  torch::NoGradGuard no_grad;
  const int64_t rows = c.size(0), n = c.size(1), k = a.size(1);
  TORCH_CHECK(a.size(0) == rows && b.size(0) == k && b.size(1) == n, "skinny_gemm_: ", a.sizes(), " · ", b.sizes(),
              " into ", c.sizes());
  const Kernel kernel = kernel_for(c, a, b);
  if (kernel == nullptr || (n > 1 && (b.stride(1) != 1 || c.stride(1) != 1))) {
    const auto type = c.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
    const torch::Tensor product = a.to(type).matmul(b.to(type)).mul_(alpha);
    if (accumulate) {
      c.add_(product);
    } else {
      c.copy_(product);
    }
    return;
  }
  void* c_data = c.data_ptr();
  const void *a_data = a.const_data_ptr(), *b_data = b.const_data_ptr();
  const auto work = [&](int64_t row, int64_t row_end, int64_t column, int64_t column_end) {
    kernel(static_cast<char*>(c_data) + column * c.element_size(), c.stride(0), a_data, a.stride(0), a.stride(1),
           static_cast<const char*>(b_data) + column * b.element_size(), b.stride(0), row, row_end, column_end - column,
           k, static_cast<float>(alpha), accumulate);
  };
  if (rows <= kDecodeRows && n * k * rows > kGrainWork) {  // a decode step: threads share the columns
    const int64_t tiles = (n + simd::kWidth - 1) / simd::kWidth;
    at::parallel_for(
        0, tiles, std::max<int64_t>(1, kGrainWork / (simd::kWidth * k * rows)),
        [&](int64_t begin, int64_t end) { work(0, rows, begin * simd::kWidth, std::min(n, end * simd::kWidth)); });
    return;
  }
  at::parallel_for(0, rows, std::max<int64_t>(kTileRows, kGrainWork / std::max<int64_t>(1, n * k)),
                   [&](int64_t begin, int64_t end) { work(begin, end, 0, n); });
}

}  // namespace loraxs
