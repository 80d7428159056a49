#include "ops/slot_linear.h"

#include <torch/csrc/autograd/custom_function.h>

#include "ops/skinny_gemm.h"

namespace loraxs {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct SlotLinearCall : torch::CustomClassHolder {
  std::vector<SlotLinearSegment> segments;
  torch::ScalarType x_dtype;
};

class SlotLinear : public torch::autograd::Function<SlotLinear> {
 public:
  static torch::Tensor forward(AutogradContext* ctx, const torch::Tensor& x, const torch::Tensor& /*anchor*/,
                               const std::vector<SlotLinearSegment>* segments, int64_t out_features) {
    const auto dtype = x.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
    const torch::Tensor input = x.to(dtype).contiguous();
    torch::Tensor y = torch::zeros({x.size(0), out_features}, input.options());
    for (const SlotLinearSegment& segment : *segments) {
      const int64_t count = segment.end - segment.begin;
      TORCH_CHECK(segment.out_features() <= out_features, "slot_linear: a weight of ", segment.out_features(),
                  " outputs in ", out_features, " columns");
      const torch::Tensor rows = y.narrow(0, segment.begin, count).narrow(1, 0, segment.out_features());
      rows.copy_(segment.bias.value);
      skinny_gemm_(rows, input.narrow(0, segment.begin, count), segment.weight.value.t().contiguous(), 1.0, true);
    }
    auto call = c10::make_intrusive<SlotLinearCall>();
    call->segments = *segments;
    call->x_dtype = x.scalar_type();
    ctx->saved_data["call"] = c10::IValue::make_capsule(call);
    ctx->save_for_backward({input});
    return y;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    torch::NoGradGuard no_grad;
    const auto call = c10::static_intrusive_pointer_cast<SlotLinearCall>(ctx->saved_data["call"].toCapsule());
    const torch::Tensor input = ctx->get_saved_variables()[0];
    const torch::Tensor dy = grads[0].contiguous();  // [rows, out_features]
    torch::Tensor dx;
    if (ctx->needs_input_grad(0)) dx = torch::zeros_like(input);
    for (const SlotLinearSegment& segment : call->segments) {
      const int64_t count = segment.end - segment.begin;
      const torch::Tensor d = dy.narrow(0, segment.begin, count).narrow(1, 0, segment.out_features());
      if (segment.weight.trains()) {
        skinny_gemm_(segment.weight.gradient, d.t(), input.narrow(0, segment.begin, count), 1.0, true);
        const torch::Tensor ones = torch::ones({1, count}, d.options());
        skinny_gemm_(segment.bias.gradient.unsqueeze(0), ones, d, 1.0, true);
      }
      if (dx.defined()) skinny_gemm_(dx.narrow(0, segment.begin, count), d, segment.weight.value, 1.0, false);
    }
    if (dx.defined()) dx = dx.to(call->x_dtype);
    return {dx, {}, {}, {}};
  }
};

}  // namespace

torch::Tensor slot_linear(const torch::Tensor& x, const torch::Tensor& anchor,
                          const std::vector<SlotLinearSegment>& segments, int64_t out_features) {
  const torch::Tensor tie = anchor.defined() ? anchor : x.new_zeros({});  // autograd wants a defined input
  return SlotLinear::apply(x, tie, &segments, out_features);
}

}  // namespace loraxs
