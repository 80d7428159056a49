#include "ops/site_adapter.h"

#include <ATen/core/grad_mode.h>

#include "ops/skinny_gemm.h"

namespace loraxs {
namespace {

torch::TensorOptions row_options(const torch::Tensor& activation) {
  return activation.options().dtype(activation.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32);
}

/// a · b -> new [rows, columns] in the rows' dtype.
torch::Tensor product(const torch::Tensor& a, const torch::Tensor& b, double alpha) {
  torch::Tensor c = torch::empty({a.size(0), b.size(1)}, row_options(a));
  skinny_gemm_(c, a, b, alpha, /*accumulate=*/false);
  return c;
}

/// The core where it is a matrix [rank, rank]; undefined where it is diagonal or the identity.
torch::Tensor core_matrix(const SiteAdapter& s) {
  if (s.r.defined()) return s.r.value;
  if (!s.v.defined()) return {};
  const int64_t rank = s.rank();
  const torch::Tensor v = s.v.value;
  return v.unsqueeze(0).matmul(s.projections.to(v.options()).flatten(1)).view({rank, rank});
}

/// scale · core(u) -> [rows, rank].
torch::Tensor core_product(const SiteAdapter& s, const torch::Tensor& u) {
  if (s.d.defined()) return u.to(row_options(u)) * (s.d.value * s.scale);
  const torch::Tensor core = core_matrix(s);
  return core.defined() ? product(u, core.t().contiguous(), s.scale) : u.to(row_options(u)) * s.scale;
}

/// Adds Σ over rows of x ∘ y to `sums` [columns], one chain of additions per column.
void add_column_sums_(const torch::Tensor& sums, const torch::Tensor& x, const torch::Tensor& y) {
  skinny_gemm_(sums.unsqueeze(0), torch::ones({1, x.size(0)}, sums.options()), x * y, 1.0, /*accumulate=*/true);
}

}  // namespace

SiteAdapter::SiteAdapter(const SiteParts& parts, const AdapterRow& row)
    : r(row, parts.r),
      scale(parts.scale(row.alpha)),
      d(row, parts.d),
      v(row, parts.v),
      projections(parts.projections),
      a(row, parts.a),
      b(row, parts.b),
      g(row, parts.g),
      weight(row, parts.weight),
      bias(row, parts.bias),
      rank_(parts.rank) {}

bool SiteAdapter::trains() const {
  for (const RowTensor* part : {&r, &d, &v, &a, &b, &g, &weight, &bias}) {
    if (part->trains()) return true;
  }
  return false;
}

torch::Tensor input_factor(const SiteAdapter& adapter, const JoinedSite& site) {
  return adapter.a.defined() ? adapter.a.value : site.a.narrow(0, 0, adapter.rank());
}

torch::Tensor site_input(const SiteAdapter& adapter, const JoinedSite& site, const torch::Tensor& x) {
  return product(x, input_factor(adapter, site).t().contiguous(), 1.0);
}

void add_site_output_(const torch::Tensor& y, const torch::Tensor& u, const JoinedSite& site,
                      const SiteAdapter& adapter) {
  const torch::Tensor z = core_product(adapter, u);
  const torch::Tensor b_transposed =
      adapter.b.defined() ? adapter.b.value.t().contiguous() : site.b_transposed.narrow(0, 0, adapter.rank());
  if (adapter.g.defined()) {
    y.add_(product(z, b_transposed, 1.0).mul_(adapter.g.value));
  } else {
    skinny_gemm_(y, z, b_transposed, 1.0, /*accumulate=*/true);
  }
}

void site_backward_(const torch::Tensor& du, const torch::Tensor& dy, const torch::Tensor& u, const JoinedSite& site,
                    const SiteAdapter& s) {
  const torch::Tensor b = s.b.defined() ? s.b.value : site.b.narrow(1, 0, s.rank());
  torch::Tensor scaled_dy = dy;  // g ∘ dy
  if (s.g.defined()) {
    const torch::Tensor d = dy.to(row_options(dy));
    if (s.g.trains()) {
      add_column_sums_(s.g.gradient, d, product(core_product(s, u), b.t().contiguous(), 1.0));
    }
    scaled_dy = d * s.g.value;
  }
  if (s.b.trains()) {  // db = dyᵀ (scale · core(u)), by rows of the transposed: dy is read along its rows
    s.b.gradient.add_(product(core_product(s, u).t(), scaled_dy, 1.0).t());
  }
  const torch::Tensor v = product(scaled_dy, b, s.scale);  // scale · dy b: the gradient of core(u)
  if (s.r.trains()) skinny_gemm_(s.r.gradient, v.t(), u, 1.0, /*accumulate=*/true);
  if (s.d.trains()) add_column_sums_(s.d.gradient, v, u.to(v.scalar_type()));
  if (s.v.trains()) {
    const torch::Tensor dr = product(v.t(), u.to(v.scalar_type()).contiguous(), 1.0);
    s.v.gradient.add_(s.projections.to(dr.options()).flatten(1).mv(dr.flatten()));
  }
  if (!du.defined()) return;
  if (s.d.defined()) {
    du.copy_(v * s.d.value);
  } else if (const torch::Tensor core = core_matrix(s); core.defined()) {
    skinny_gemm_(du, v, core, 1.0, /*accumulate=*/false);
  } else {
    du.copy_(v);
  }
}

torch::Tensor site_left_factor(const SiteAdapter& s, const torch::Tensor& frozen_b, torch::ScalarType dtype) {
  torch::NoGradGuard no_grad;
  torch::Tensor left = (s.b.defined() ? s.b.value : frozen_b.narrow(1, 0, s.rank())).to(dtype) * s.scale;
  if (s.d.defined()) {
    left = left * s.d.value.to(dtype);
  } else if (const torch::Tensor core = core_matrix(s); core.defined()) {
    left = left.matmul(core.to(dtype));
  }
  return s.g.defined() ? left * s.g.value.to(dtype).unsqueeze(1) : left;
}

torch::Tensor site_update(const SiteAdapter& s, const torch::Tensor& frozen_a, const torch::Tensor& frozen_b,
                          torch::ScalarType dtype) {
  torch::NoGradGuard no_grad;
  const torch::Tensor a = s.a.defined() ? s.a.value : frozen_a.narrow(0, 0, s.rank());
  return site_left_factor(s, frozen_b, dtype).matmul(a.to(dtype));
}

}  // namespace loraxs
