#include "ops/frozen_weight.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "io/error.h"
#include "ops/cpu_kernels.h"
#include "ops/frozen_gemm.h"
#include "ops/int8_weight.h"

namespace loraxs {
namespace {

// 4 MB of float32: large enough for a full-speed GEMM, a hundredth of a 7B model's layer.
constexpr int64_t kPanelElements = 1 << 20;

/// The rows as a view where the file already holds them in the compute dtype; undefined otherwise.
torch::Tensor view_rows(const BlockTensor& part, int64_t begin, int64_t end, torch::ScalarType dtype) {
  const bool same = (part.type == BlockType::kF32 && dtype == torch::kFloat32) ||
                    (part.type == BlockType::kBF16 && dtype == torch::kBFloat16);
  if (!same || part.interleaved_heads > 0) return {};
  const int64_t row_bytes = block_type_info(part.type).row_bytes(part.columns());
  void* data = const_cast<std::byte*>(part.bytes.data()) + begin * row_bytes;  // from_blob has no const form
  return torch::from_blob(
      data, {end - begin, part.columns()}, [owner = part.owner](void*) {}, torch::TensorOptions().dtype(dtype));
}

}  // namespace

WeightMemory weight_memory(const std::string& name) {
  if (name == "normal") return WeightMemory::kNormal;
  if (name == "tight") return WeightMemory::kTight;
  throw Error(concat("memory: expected normal or tight, found ", name));
}

FrozenWeight FrozenWeight::packed(const torch::Tensor& weight, bool both_ways) {
  FrozenWeight frozen;
  frozen.out_features_ = weight.size(0);
  frozen.in_features_ = weight.size(1);
  frozen.weight_ = prepare_frozen(weight);
  if (both_ways) frozen.add_backward(weight);
  return frozen;
}

void FrozenWeight::add_backward(const torch::Tensor& weight) { transposed_ = prepare_frozen(weight.t()); }

FrozenWeight FrozenWeight::stored(std::vector<BlockTensor> parts, const torch::Tensor& tail, torch::ScalarType dtype) {
  TORCH_CHECK(!parts.empty(), "FrozenWeight::stored: no parts");
  FrozenWeight frozen;
  frozen.in_features_ = parts[0].columns();
  for (const BlockTensor& part : parts) {
    TORCH_CHECK(part.columns() == frozen.in_features_, "FrozenWeight::stored: ", part.columns(), " columns, expected ",
                frozen.in_features_);
    frozen.out_features_ += part.rows();
  }
  if (tail.defined()) {
    TORCH_CHECK(tail.size(1) == frozen.in_features_ && tail.scalar_type() == dtype, "FrozenWeight::stored: tail ",
                tail.sizes(), " ", tail.scalar_type());
    frozen.out_features_ += tail.size(0);
  }
  frozen.parts_ = std::move(parts);
  frozen.tail_ = tail.defined() ? tail.contiguous() : tail;
  frozen.dtype_ = dtype;
  return frozen;
}

FrozenWeight FrozenWeight::integers(const std::vector<BlockTensor>& parts, const torch::Tensor& tail) {
  FrozenWeight frozen;
  frozen.integers_ = std::make_shared<const Int8Weight>(parts, tail);
  frozen.in_features_ = frozen.integers_->columns();
  frozen.out_features_ = frozen.integers_->rows();
  return frozen;
}

void FrozenWeight::add_answers(std::vector<BlockTensor> parts, const torch::Tensor& tail) {
  TORCH_CHECK(weight_.defined(), "FrozenWeight::add_answers: not packed");
  parts_ = std::move(parts);
  tail_ = tail.defined() ? tail.contiguous() : tail;
}

template <typename Use>
void FrozenWeight::for_panels(torch::Device device, const Use& use) const {
  const int64_t panel_rows = std::max<int64_t>(16, kPanelElements / in_features_);
  const auto scratch_dtype = dtype_ == torch::kBFloat16 ? torch::kBFloat16 : torch::kFloat32;
  torch::Tensor scratch;
  int64_t column = 0;
  for (const BlockTensor& part : parts_) {
    for (int64_t begin = 0; begin < part.rows(); begin += panel_rows) {
      const int64_t end = std::min(part.rows(), begin + panel_rows);
      torch::Tensor panel = view_rows(part, begin, end, dtype_);
      if (!panel.defined()) {
        if (!scratch.defined()) {
          scratch = torch::empty({std::min(panel_rows, out_features_), in_features_}, torch::dtype(scratch_dtype));
        }
        panel = scratch.narrow(0, 0, end - begin);
        dequantize_rows_(panel, part, begin, end);
      }
      use(column + begin, panel.to(device, dtype_));
    }
    column += part.rows();
  }
  if (tail_.defined()) use(column, tail_);
}

torch::Tensor FrozenWeight::panel_product(const torch::Tensor& x) const {
  torch::Tensor y = x.new_empty({x.size(0), out_features_});
  for_panels(x.device(), [&](int64_t column, const torch::Tensor& panel) {
    y.narrow(1, column, panel.size(0)).copy_(frozen_gemm(x, panel, {}));
  });
  return y;
}

void FrozenWeight::integer_product_(const torch::Tensor& y, const torch::Tensor& x, const torch::Tensor& bias,
                                    const Alongside& alongside) const {
  torch::NoGradGuard no_grad;
  if (!bias.defined()) return integers_->multiply_(y, x.contiguous(), alongside);
  const torch::Tensor added = bias.contiguous();
  const float* values = added.const_data_ptr<float>();
  float* out = y.mutable_data_ptr<float>();
  const int64_t stride = y.stride(0), rows = y.size(0);
  Alongside biased = alongside;
  biased.columns = [&](int64_t column, int64_t end) {
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t c = column; c < end; ++c) out[row * stride + c] += values[c];
    }
    if (alongside.columns) alongside.columns(column, end);
  };
  integers_->multiply_(y, x.contiguous(), biased);
}

torch::Tensor FrozenWeight::gemm_product(const torch::Tensor& x, const torch::Tensor& bias) const {
  if (weight_.defined()) return frozen_gemm(x, weight_, bias);
  torch::Tensor y = panel_product(x);
  return bias.defined() ? y.add_(bias) : y;
}

torch::Tensor FrozenWeight::block_product(const torch::Tensor& x, const torch::Tensor& bias) const {
  torch::Tensor y = x.new_empty({x.size(0), out_features_});
  int64_t column = 0;
  const auto multiply = [&](const BlockTensor& part) {
    block_product_(y.narrow(1, column, part.rows()), x, part);
    column += part.rows();
  };
  for (const BlockTensor& part : parts_) multiply(part);
  if (tail_.defined()) multiply(block_view(tail_));
  return bias.defined() ? y.add_(bias) : y;
}

torch::Tensor FrozenWeight::forward(const torch::Tensor& x, const torch::Tensor& bias, const AnswerRows& rows) const {
  torch::NoGradGuard no_grad;
  if (integers_) {
    torch::Tensor y = x.new_empty({x.size(0), out_features_});
    integer_product_(y, x, bias, {});
    return y;
  }
  if (parts_.empty() || !rows.answers.defined() || !on_cpu_kernels(x, bias, tail_)) return gemm_product(x, bias);
  if (!rows.others.defined()) return block_product(x.contiguous(), bias);
  torch::Tensor y = x.new_empty({x.size(0), out_features_});
  y.index_copy_(0, rows.answers, block_product(x.index_select(0, rows.answers), bias));
  y.index_copy_(0, rows.others, gemm_product(x.index_select(0, rows.others), bias));
  return y;
}

torch::Tensor FrozenWeight::backward(const torch::Tensor& dy) const {
  torch::NoGradGuard no_grad;
  TORCH_CHECK(has_backward(), "FrozenWeight: prepared for forward products only");
  if (weight_.defined()) return frozen_gemm(dy, transposed_, {});
  torch::Tensor dx;  // summed in float32 (float64) over panels
  for_panels(dy.device(), [&](int64_t column, const torch::Tensor& panel) {
    const torch::Tensor part =
        frozen_gemm(dy.narrow(1, column, panel.size(0)).contiguous(), panel.t().contiguous(), {});
    if (dx.defined()) {
      dx.add_(part);
    } else {
      dx = part.to(dtype_ == torch::kBFloat16 ? torch::kFloat32 : dtype_);
    }
  });
  return dx.to(dtype_);
}

}  // namespace loraxs
