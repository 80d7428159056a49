#include "model/recompute.h"

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

namespace loraxs {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Call : torch::CustomClassHolder {
  std::function<torch::Tensor(const torch::Tensor&)> part;
};

class Recomputed : public torch::autograd::Function<Recomputed> {
 public:
  static torch::Tensor forward(AutogradContext* ctx, const torch::Tensor& x, const torch::Tensor& /*anchor*/,
                               const c10::intrusive_ptr<Call>& call) {
    ctx->save_for_backward({x});
    ctx->saved_data["call"] = c10::IValue::make_capsule(call);
    return call->part(x);  // autograd is off inside a custom function
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto call = c10::static_intrusive_pointer_cast<Call>(ctx->saved_data["call"].toCapsule());
    const torch::Tensor x = ctx->get_saved_variables()[0].detach().requires_grad_(ctx->needs_input_grad(0));
    torch::AutoGradMode enable_grad(true);
    torch::autograd::backward({call->part(x)}, {grads[0]});
    return {ctx->needs_input_grad(0) ? x.grad() : torch::Tensor(), {}, {}};
  }
};

}  // namespace

torch::Tensor recomputed(const std::function<torch::Tensor(const torch::Tensor&)>& part, const torch::Tensor& x) {
  auto call = c10::make_intrusive<Call>();
  call->part = part;
  const auto anchor = torch::zeros({}, torch::TensorOptions().dtype(torch::kFloat32).device(x.device()));
  return Recomputed::apply(x, anchor.requires_grad_(true), call);  // x itself needs no gradient in the lowest layer
}

}  // namespace loraxs
