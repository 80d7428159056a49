#include "ops/frozen_gemm.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/linear.h>

#include <algorithm>

#include "io/error.h"
#include "ops/cpu_kernels.h"
#include "ops/isa.h"

namespace loraxs {
namespace {

// The private oneDNN operator of LibTorch, the same that torch.compile emits. No derivative: always under NoGradGuard.
torch::Tensor onednn_linear(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias) {
  using Linear = at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, std::string_view,
                            c10::List<std::optional<at::Scalar>>, std::optional<std::string_view>);
  static const auto linear =
      c10::Dispatcher::singleton().findSchemaOrThrow("mkldnn::_linear_pointwise", "").typed<Linear>();
  const std::optional<at::Tensor> optional_bias = bias.defined() ? std::optional(bias) : std::nullopt;
  const c10::List<std::optional<at::Scalar>> no_scalars;
  return linear.call(x, weight, optional_bias, "none", no_scalars, std::nullopt);
}

/// Without oneDNN where LORAXS_ISA keeps us from AVX-512: ATen would ask the CPU whether oneDNN can bfloat16, and not
/// the limit that oneDNN was given beside ours.
class AtenAlone {
 public:
  explicit AtenAlone(torch::ScalarType dtype)
      : was_enabled_(at::globalContext().userEnabledMkldnn()),
        limits_(was_enabled_ && dtype == torch::kBFloat16 && isa_is_limited()) {
    if (limits_) at::globalContext().setUserEnabledMkldnn(false);
  }
  ~AtenAlone() {
    if (limits_) at::globalContext().setUserEnabledMkldnn(was_enabled_);
  }
  AtenAlone(const AtenAlone&) = delete;
  AtenAlone& operator=(const AtenAlone&) = delete;

 private:
  bool was_enabled_, limits_;
};

constexpr int64_t kMinRows = 8;  // below, oneDNN and MKL take other kernels, whose sums round differently

/// oneDNN generates code for every row count it meets and keeps the last 1024 kernels, megabytes each: packed batches,
/// whose token counts hardly ever repeat, would pay for that at every step. A few round counts are met again.
int64_t padded_rows(int64_t rows) {
  constexpr int64_t kFine = 16, kCoarse = 64, kFineUpTo = 512;
  if (rows <= kMinRows) return kMinRows;
  const int64_t step = rows <= kFineUpTo ? kFine : kCoarse;
  return (rows + step - 1) / step * step;
}

}  // namespace

const char* gemm_backend_name(GemmBackend backend) { return backend == GemmBackend::kAten ? "aten" : "onednn"; }

GemmBackend gemm_backend(torch::ScalarType dtype) {
  // float32: oneDNN is up to twice as fast as MKL with AVX-512 on AMD (0.48 against 0.21 TFLOP/s) and equal with AVX2;
  // and its rows do not depend on the row count. bfloat16: oneDNN refuses CPUs without AVX-512.
  if (!at::globalContext().userEnabledMkldnn() || !at::hasMKLDNN()) return GemmBackend::kAten;
  if (dtype == torch::kFloat32) return GemmBackend::kOneDnn;
  if (dtype == torch::kBFloat16 && isa() == Isa::kAvx512) return GemmBackend::kOneDnn;
  return GemmBackend::kAten;
}

std::string gemm_record() {
  return concat("float32=", gemm_backend_name(gemm_backend(torch::kFloat32)),
                " bfloat16=", gemm_backend_name(gemm_backend(torch::kBFloat16)), " threads=", at::get_num_threads(),
                " isa=", isa_name(isa()));
}

torch::Tensor prepare_frozen(const torch::Tensor& weight) {
  using Reorder = at::Tensor(const at::Tensor&, std::optional<c10::SymInt>);
  if (!weight.device().is_cpu() || gemm_backend(weight.scalar_type()) != GemmBackend::kOneDnn) return weight;
  torch::NoGradGuard no_grad;
  static const auto reorder =
      c10::Dispatcher::singleton().findSchemaOrThrow("mkldnn::_reorder_linear_weight", "").typed<Reorder>();
  constexpr int64_t kTypicalRows = 512;  // a hint; the layout serves every row count
  return reorder.call(weight.contiguous(), kTypicalRows);
}

torch::Tensor frozen_gemm(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias,
                          GemmBackend backend) {
  torch::NoGradGuard no_grad;
  if (x.size(0) == 0) return x.new_empty({0, weight.size(0)});
  if (backend == GemmBackend::kAten || !on_cpu(x, weight, bias)) {
    const AtenAlone alone(x.scalar_type());
    return at::linear(x, weight, bias.defined() ? std::optional(bias) : std::nullopt);
  }
  return onednn_linear(x, weight, bias);
}

torch::Tensor frozen_gemm(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias) {
  const int64_t rows = x.size(0);
  const GemmBackend backend = gemm_backend(x.scalar_type());
  // MKL sums rows of 9 to 11 in an order of its own; ATen's bfloat16, slow without AVX-512, has one order for all.
  const bool rounds = backend == GemmBackend::kOneDnn || x.scalar_type() == torch::kFloat32;
  const int64_t wanted = rounds ? padded_rows(rows) : std::max(rows, kMinRows);
  if (rows == wanted || rows == 0 || !x.device().is_cpu()) return frozen_gemm(x, weight, bias, backend);
  torch::NoGradGuard no_grad;
  torch::Tensor full = x.new_empty({wanted, x.size(1)});
  full.narrow(0, 0, rows).copy_(x);
  full.narrow(0, rows, wanted - rows).zero_();
  return frozen_gemm(full, weight, bias, backend).narrow(0, 0, rows);
}

bool row_invariant(torch::ScalarType dtype) {
  torch::NoGradGuard no_grad;
  const auto options = torch::TensorOptions().dtype(torch::kFloat32);
  // Values without structure, made without a generator: the probe must not disturb anybody's random numbers.
  const auto values = [&](int64_t rows, int64_t columns, double step) {
    return (torch::arange(rows * columns, options) * step).sin().view({rows, columns}).to(dtype);
  };
  for (const int64_t in_features : {384, 1536}) {
    const torch::Tensor x = values(1500, in_features, 0.7311);
    const torch::Tensor weight = prepare_frozen(values(416, in_features, 0.3717));
    const torch::Tensor all = frozen_gemm(x, weight, {});
    for (const int64_t rows : {1, 8, 11, 32, 48, 64, 70, 365}) {
      if (!frozen_gemm(x.narrow(0, 0, rows), weight, {}).equal(all.narrow(0, 0, rows))) return false;
    }
  }
  return true;
}

}  // namespace loraxs
