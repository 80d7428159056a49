#include "ops/adapted_linear.h"

#include <torch/csrc/autograd/custom_function.h>

#include <memory>

#include "ops/skinny_gemm.h"
#include "ops/slot_products.h"

namespace loraxs {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// What backward needs and autograd need not know of: shared by reference, the projection outlives the step.
struct Call : torch::CustomClassHolder {
  const JoinedProjection* projection;
  std::vector<SegmentAdapters> segments;
};

torch::ScalarType row_dtype(const torch::Tensor& activation) {
  return activation.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
}

class AdaptedLinear : public torch::autograd::Function<AdaptedLinear> {
 public:
  static torch::Tensor forward(AutogradContext* ctx, const torch::Tensor& x, const torch::Tensor& /*anchor*/,
                               const JoinedProjection* projection, const std::vector<SegmentAdapters>* segments) {
    torch::Tensor y = projection->weight.forward(x, projection->bias);  // [rows, width]
    const int64_t width = y.size(1);
    std::vector<SlotMatrix> matrices;
    for (size_t i = 0; i < projection->sites.size(); ++i) {
      const JoinedSite& site = projection->sites[i];
      matrices.clear();
      for (const SegmentAdapters& segment : *segments) {
        const auto& [r, scale] = segment.sites[i];
        if (r.defined()) matrices.push_back({.begin = segment.begin, .end = segment.end, .r = &r, .scale = scale});
      }
      if (matrices.empty()) continue;
      const torch::Tensor z = slot_products(y.narrow(1, site.u_column, site.rank), matrices);  // scale · u Rᵀ
      // b is everybody's: one product for all slots.
      const int64_t first = matrices.front().begin, count = matrices.back().end - first;
      skinny_gemm_(y.narrow(0, first, count).narrow(1, site.column, site.out_features), z.narrow(0, first, count),
                   site.b_transposed, 1.0, /*accumulate=*/true);
    }
    if (projection->out_features < width) {
      ctx->save_for_backward({y.narrow(1, projection->out_features, width - projection->out_features).contiguous()});
    }
    auto call = c10::make_intrusive<Call>();
    call->projection = projection;
    call->segments = *segments;
    ctx->saved_data["call"] = c10::IValue::make_capsule(call);
    return y;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    torch::NoGradGuard no_grad;
    const auto call = c10::static_intrusive_pointer_cast<Call>(ctx->saved_data["call"].toCapsule());
    const JoinedProjection& projection = *call->projection;
    const bool needs_dx = ctx->needs_input_grad(0);
    torch::Tensor dy = grads[0].contiguous();  // [rows, width], ours to complete
    if (!projection.sites.empty()) {
      const torch::Tensor u_all = ctx->get_saved_variables()[0];
      if (needs_dx) dy.narrow(1, projection.out_features, u_all.size(1)).zero_();
      for (const SegmentAdapters& segment : call->segments) {
        const int64_t count = segment.end - segment.begin;
        const torch::Tensor rows = dy.narrow(0, segment.begin, count);
        for (size_t i = 0; i < projection.sites.size(); ++i) {
          const JoinedSite& site = projection.sites[i];
          const auto& [r, scale] = segment.sites[i];
          if (!r.defined()) continue;
          const int64_t rank = r.shape[0];
          const bool trained = r.gradients.defined();
          if (!needs_dx && !trained) continue;
          torch::Tensor v = torch::empty({count, rank}, dy.options().dtype(row_dtype(dy)));  // scale · dy b
          skinny_gemm_(v, rows.narrow(1, site.column, site.out_features), site.b.narrow(1, 0, rank), scale, false);
          if (trained) {
            const torch::Tensor u =
                u_all.narrow(0, segment.begin, count).narrow(1, site.u_column - projection.out_features, rank);
            skinny_gemm_(r.gradient(), v.t(), u, 1.0, /*accumulate=*/true);
          }
          if (needs_dx) skinny_gemm_(rows.narrow(1, site.u_column, rank), v, r.value(), 1.0, false);
        }
      }
    }
    torch::Tensor dx;
    if (needs_dx) dx = projection.weight.backward(dy);
    return {dx, {}, {}, {}};
  }
};

}  // namespace

torch::Tensor adapted_linear(const torch::Tensor& x, const torch::Tensor& anchor, const JoinedProjection& projection,
                             const std::vector<SegmentAdapters>& segments) {
  const torch::Tensor tie = anchor.defined() ? anchor : x.new_zeros({});  // autograd wants a defined input
  return AdaptedLinear::apply(x, tie, &projection, &segments);
}

torch::Tensor adapted_linear_reference(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias,
                                       const torch::Tensor& a, const torch::Tensor& b, const torch::Tensor& r,
                                       double scale) {
  return x.matmul(weight.t()) + bias + scale * x.matmul(a.t()).matmul(r.t()).matmul(b.t());
}

}  // namespace loraxs
