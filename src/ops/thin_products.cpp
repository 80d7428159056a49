#include "ops/thin_products.h"

#include <algorithm>

#include "ops/simd.h"

namespace loraxs {
namespace {

constexpr int64_t kVectors = 4;    // vectors at a time: two rows of a against four are eight sums in registers
constexpr int64_t kColumns = 512;  // columns of y at a time: four of its rows stay in the first-level cache

template <int64_t kCount>
LORAXS_INLINE void dot_rows(double* out, int64_t m, const double* x, const double* a, int64_t n) {
  int64_t i = 0;
  for (; i + 2 <= m; i += 2) {
    const double *a0 = a + i * n, *a1 = a0 + n;
    double s0[kCount] = {}, s1[kCount] = {};
    if constexpr (kCount == kVectors) {
      double s00 = 0, s01 = 0, s02 = 0, s03 = 0, s10 = 0, s11 = 0, s12 = 0, s13 = 0;
#pragma omp simd reduction(+ : s00, s01, s02, s03, s10, s11, s12, s13)
      for (int64_t c = 0; c < n; ++c) {
        const double x0 = x[c], x1 = x[n + c], x2 = x[2 * n + c], x3 = x[3 * n + c];
        s00 += a0[c] * x0, s01 += a0[c] * x1, s02 += a0[c] * x2, s03 += a0[c] * x3;
        s10 += a1[c] * x0, s11 += a1[c] * x1, s12 += a1[c] * x2, s13 += a1[c] * x3;
      }
      s0[0] = s00, s0[1] = s01, s0[2] = s02, s0[3] = s03;
      s1[0] = s10, s1[1] = s11, s1[2] = s12, s1[3] = s13;
    } else {
      double sum0 = 0, sum1 = 0;
#pragma omp simd reduction(+ : sum0, sum1)
      for (int64_t c = 0; c < n; ++c) sum0 += a0[c] * x[c], sum1 += a1[c] * x[c];
      s0[0] = sum0, s1[0] = sum1;
    }
    for (int64_t j = 0; j < kCount; ++j) out[j * m + i] = s0[j], out[j * m + i + 1] = s1[j];
  }
  for (; i < m; ++i) {
    for (int64_t j = 0; j < kCount; ++j) {
      double sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t c = 0; c < n; ++c) sum += a[i * n + c] * x[j * n + c];
      out[j * m + i] = sum;
    }
  }
}

LORAXS_INLINE void dot_vectors(double* out, int64_t m, const double* x, const double* a, int64_t n, int64_t k) {
  int64_t j = 0;
  for (; j + kVectors <= k; j += kVectors) dot_rows<kVectors>(out + j * m, m, x + j * n, a, n);
  for (; j < k; ++j) dot_rows<1>(out + j * m, m, x + j * n, a, n);
}

/// kCount rows of y, `width` columns of it, += alpha · c · a, four rows of a at a time.
template <int64_t kCount>
LORAXS_INLINE void combine(double* y, double alpha, const double* c, int64_t m, const double* a, int64_t n,
                           int64_t width) {
  int64_t i = 0;
  for (; i + 4 <= m; i += 4) {
    const double *a0 = a + i * n, *a1 = a0 + n, *a2 = a1 + n, *a3 = a2 + n;
    double f[kCount][4];
    for (int64_t j = 0; j < kCount; ++j) {
      for (int64_t l = 0; l < 4; ++l) f[j][l] = alpha * c[j * m + i + l];
    }
#pragma omp simd
    for (int64_t t = 0; t < width; ++t) {
      const double v0 = a0[t], v1 = a1[t], v2 = a2[t], v3 = a3[t];
      for (int64_t j = 0; j < kCount; ++j) y[j * n + t] += f[j][0] * v0 + f[j][1] * v1 + f[j][2] * v2 + f[j][3] * v3;
    }
  }
  for (; i < m; ++i) {
    for (int64_t j = 0; j < kCount; ++j) {
      const double f = alpha * c[j * m + i];
#pragma omp simd
      for (int64_t t = 0; t < width; ++t) y[j * n + t] += f * a[i * n + t];
    }
  }
}

LORAXS_INLINE void combine_vectors(double* y, double alpha, const double* c, int64_t m, const double* a, int64_t n,
                                   int64_t k) {
  for (int64_t begin = 0; begin < n; begin += kColumns) {
    const int64_t width = std::min(kColumns, n - begin);
    int64_t j = 0;
    for (; j + kVectors <= k; j += kVectors) {
      combine<kVectors>(y + j * n + begin, alpha, c + j * m, m, a + begin, n, width);
    }
    for (; j < k; ++j) combine<1>(y + j * n + begin, alpha, c + j * m, m, a + begin, n, width);
  }
}

void check(const torch::Tensor& t) {
  TORCH_CHECK(t.device().is_cpu() && t.scalar_type() == torch::kFloat64 && t.dim() == 2 && t.is_contiguous(),
              "thin products take contiguous float64 matrices on the CPU");
}

}  // namespace

torch::Tensor times_rows(const torch::Tensor& x, const torch::Tensor& a) {
  check(x), check(a);
  TORCH_CHECK(x.size(1) == a.size(1), "times_rows: ", x.sizes(), " and ", a.sizes());
  torch::Tensor out = torch::empty({x.size(0), a.size(0)}, x.options());
  simd::kernel<dot_vectors>(out.mutable_data_ptr<double>(), a.size(0), x.const_data_ptr<double>(),
                            a.const_data_ptr<double>(), x.size(1), x.size(0));
  return out;
}

void add_combined_rows_(const torch::Tensor& y, double alpha, const torch::Tensor& c, const torch::Tensor& a) {
  check(y), check(c), check(a);
  TORCH_CHECK(y.size(0) == c.size(0) && y.size(1) == a.size(1) && c.size(1) == a.size(0),
              "add_combined_rows_: ", c.sizes(), " · ", a.sizes(), " into ", y.sizes());
  simd::kernel<combine_vectors>(y.mutable_data_ptr<double>(), alpha, c.const_data_ptr<double>(), a.size(0),
                                a.const_data_ptr<double>(), a.size(1), y.size(0));
}

}  // namespace loraxs
