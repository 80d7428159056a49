#include "ops/adapted_linear.h"

#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "ops/core_products.h"
#include "ops/cpu_kernels.h"
#include "ops/skinny_gemm.h"
#include "ops/trained_linear.h"

namespace loraxs {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// One call's input, beside x: shared by forward and backward, and nothing that autograd need know of.
struct AdaptedCall : torch::CustomClassHolder {
  const JoinedProjection* projection = nullptr;
  std::shared_ptr<const std::vector<SegmentAdapters>> segments;  // null: none
  RowKeys keys;

  std::span<const SegmentAdapters> rows() const {
    return segments ? std::span<const SegmentAdapters>(*segments) : std::span<const SegmentAdapters>();
  }
  bool frozen() const { return projection->weight.out_features() > 0; }
  bool drops(const JoinedSite& site) const { return keys.defined() && site.dropout.active(); }
  /// Sites whose slots bring R alone, where one pass serves them all; the others go one by one.
  std::vector<CoreSite> cores(const torch::Tensor& y) const {
    if (!segments || segments->empty() || !on_cpu_kernels(y, segments->front().row.values)) return {};
    return core_sites(*projection, *segments);
  }
  /// `use`(site, segment, adapter) for every adapter, site by site; without those of `cores`.
  template <typename Use>
  void for_others(std::span<const CoreSite> cores, const Use& use) const {
    for (size_t i = 0; i < projection->sites.size(); ++i) {
      const JoinedSite& site = projection->sites[i];
      const bool has_core =
          std::any_of(cores.begin(), cores.end(), [&](const CoreSite& core) { return core.site == &site; });
      for (const SegmentAdapters& segment : rows()) {
        const SiteParts& parts = segment.parts(*projection, i);
        if (!parts.defined() || (has_core && parts.only_r())) continue;
        use(site, segment, SiteAdapter(parts, segment.row));
      }
    }
  }
  bool any_replaces() const {
    const auto replaces = [&](const SegmentAdapters& segment) {
      const std::vector<SiteParts>& sites = (*segment.table)[projection->group];
      return std::any_of(sites.begin(), sites.end(), [](const SiteParts& parts) { return parts.replaces(); });
    };
    return std::any_of(rows().begin(), rows().end(), replaces);
  }
  /// Rows that lie in some segment.
  int64_t covered() const {
    int64_t count = 0;
    for (const SegmentAdapters& segment : rows()) count += segment.end - segment.begin;
    return count;
  }
  /// `values` [rows of the segment, in_features] under the site's mask, in the rows' dtype; as they are without
  /// dropout.
  torch::Tensor dropped(const torch::Tensor& values, const JoinedSite& site, const SegmentAdapters& segment) const {
    if (!drops(site)) return values;
    const auto type = values.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
    return apply_dropout(values.to(type), site.dropout, keys.narrow(segment.begin, segment.end - segment.begin));
  }
};

torch::Tensor rows_of(const torch::Tensor& x, const SegmentAdapters& segment) {
  return x.narrow(0, segment.begin, segment.end - segment.begin);
}

/// What backward needs of a forward pass.
struct Kept {
  torch::Tensor x;                   // where a or W is trained
  std::vector<torch::Tensor> own_u;  // of adapters with an a of their own, in order
};

torch::Tensor run_forward(const AdaptedCall& call, const torch::Tensor& x, const AnswerRows& answers, Kept* kept) {
  const JoinedProjection& projection = *call.projection;
  TORCH_CHECK(!projection.weight.is_integers() || !call.keys.defined(),
              "adapted_linear: dropout beside small integers");
  TORCH_CHECK(call.frozen() || call.covered() == x.size(0), "adapted_linear: rows without a weight");
  const std::vector<CoreSite> cores = call.cores(x);
  const bool goes_along = projection.weight.is_integers();
  torch::Tensor y;  // [rows, width]
  if (goes_along) {
    y = x.new_empty({x.size(0), projection.weight.out_features()});
    CoreOutputs outputs(y, cores);
    projection.weight.integer_product_(y, x, projection.bias, outputs.alongside());
  } else {
    y = call.frozen() ? projection.weight.forward(x, projection.bias, answers)
                      : x.new_empty({x.size(0), projection.out_features});
  }
  if (call.rows().empty()) return y;
  const auto u_of = [&](const JoinedSite& site, const SegmentAdapters& segment, int64_t rank) {
    return rows_of(y, segment).narrow(1, site.u_column, rank);
  };
  if (call.keys.defined()) {  // u of a frozen a under dropout takes the place of the wide GEMM's
    call.for_others({}, [&](const JoinedSite& site, const SegmentAdapters& segment, const SiteAdapter& adapter) {
      if (adapter.a.defined() || adapter.replaces() || !call.drops(site)) return;
      u_of(site, segment, adapter.rank())
          .copy_(site_input(adapter, site, call.dropped(rows_of(x, segment), site, segment)));
    });
  }
  if (!goes_along) add_core_outputs_(y, cores);
  call.for_others(cores, [&](const JoinedSite& site, const SegmentAdapters& segment, const SiteAdapter& adapter) {
    if (kept != nullptr && adapter.trains_from_input()) kept->x = x;
    const torch::Tensor input = rows_of(x, segment),
                        output = rows_of(y, segment).narrow(1, site.column, site.out_features);
    if (adapter.replaces()) {
      output.copy_(trained_linear(input, adapter.weight, adapter.bias));
      return;
    }
    const torch::Tensor u = adapter.a.defined() ? site_input(adapter, site, call.dropped(input, site, segment))
                                                : u_of(site, segment, adapter.rank());
    if (kept != nullptr && adapter.a.defined()) kept->own_u.push_back(u);
    add_site_output_(output, u, site, adapter);
  });
  return y;
}

class AdaptedLinear : public torch::autograd::Function<AdaptedLinear> {
 public:
  static torch::Tensor forward(AutogradContext* ctx, const torch::Tensor& x, const torch::Tensor& /*anchor*/,
                               const c10::intrusive_ptr<AdaptedCall>& call, const AnswerRows* answers) {
    Kept kept;
    torch::Tensor y = run_forward(*call, x, *answers, &kept);
    const int64_t first_u = call->projection->out_features, u_width = y.size(1) - first_u;
    std::vector<torch::Tensor> saved = {u_width > 0 ? y.narrow(1, first_u, u_width).contiguous() : torch::Tensor(),
                                        kept.x};
    saved.insert(saved.end(), kept.own_u.begin(), kept.own_u.end());
    ctx->save_for_backward(std::move(saved));
    ctx->saved_data["call"] = c10::IValue::make_capsule(call);
    return y;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    torch::NoGradGuard no_grad;
    const auto held = c10::static_intrusive_pointer_cast<AdaptedCall>(ctx->saved_data["call"].toCapsule());
    const AdaptedCall& call = *held;
    const JoinedProjection& projection = *call.projection;
    const bool frozen = call.frozen(), needs_dx = ctx->needs_input_grad(0);
    const variable_list saved = ctx->get_saved_variables();
    const torch::Tensor &u_all = saved[0], &x = saved[1];
    size_t next_u = 2;
    torch::Tensor dy = grads[0].contiguous();  // [rows, width], its u columns ours to complete
    if (frozen && call.any_replaces()) dy = dy.clone();
    if (needs_dx && u_all.defined()) dy.narrow(1, projection.out_features, u_all.size(1)).zero_();
    torch::Tensor own_dx;  // by way of a and W that slots bring themselves
    const auto own_dx_rows = [&](const SegmentAdapters& segment, int64_t in_features) {
      if (!own_dx.defined()) own_dx = dy.new_zeros({dy.size(0), in_features});
      return rows_of(own_dx, segment);
    };
    // Under dropout du does not go back through the wide GEMM, and every adapter goes its own way.
    const std::vector<CoreSite> cores = call.keys.defined() ? std::vector<CoreSite>() : call.cores(dy);
    core_backward_(dy, u_all, projection.out_features, cores, needs_dx);
    call.for_others(cores, [&](const JoinedSite& site, const SegmentAdapters& segment, const SiteAdapter& adapter) {
      const torch::Tensor rows = rows_of(dy, segment), output = rows.narrow(1, site.column, site.out_features);
      if (adapter.replaces()) {
        const torch::Tensor d = trained_linear_backward_(output, x.defined() ? rows_of(x, segment) : x, adapter.weight,
                                                         adapter.bias, needs_dx);
        if (needs_dx) own_dx_rows(segment, d.size(1)).add_(d);
        if (needs_dx && frozen) output.zero_();  // the frozen W has no part in these
        return;
      }
      const int64_t rank = adapter.rank();
      const torch::Tensor u = adapter.a.defined()
                                  ? saved[next_u++]
                                  : rows_of(u_all, segment).narrow(1, site.u_column - projection.out_features, rank);
      if (!needs_dx && !adapter.trains()) return;
      if (!adapter.a.defined() && !call.drops(site)) {  // du goes back through the wide GEMM
        site_backward_(needs_dx ? rows.narrow(1, site.u_column, rank) : torch::Tensor(), output, u, site, adapter);
        return;
      }
      const torch::Tensor du = torch::empty_like(u);
      site_backward_(du, output, u, site, adapter);
      if (adapter.a.trains()) {
        skinny_gemm_(adapter.a.gradient, du.t(), call.dropped(rows_of(x, segment), site, segment), 1.0,
                     /*accumulate=*/true);
      }
      if (!needs_dx) return;
      const torch::Tensor a = input_factor(adapter, site);
      if (call.drops(site)) {
        const torch::Tensor d = torch::empty({du.size(0), a.size(1)}, a.options());
        skinny_gemm_(d, du, a, 1.0, /*accumulate=*/false);
        own_dx_rows(segment, a.size(1)).add_(call.dropped(d, site, segment));
      } else {
        skinny_gemm_(own_dx_rows(segment, a.size(1)), du, a, 1.0, /*accumulate=*/true);
      }
    });
    torch::Tensor dx;
    if (needs_dx) dx = frozen ? projection.weight.backward(dy) : own_dx;
    if (needs_dx && frozen && own_dx.defined()) dx = dx + own_dx;
    return {dx, {}, {}, {}};
  }
};

}  // namespace

torch::Tensor adapted_linear(const torch::Tensor& x, const torch::Tensor& anchor, const JoinedProjection& projection,
                             const std::shared_ptr<const std::vector<SegmentAdapters>>& segments,
                             const AnswerRows& rows, const RowKeys& keys) {
  const auto call = c10::make_intrusive<AdaptedCall>();
  call->projection = &projection;
  call->segments = segments;
  call->keys = keys;
  if (!torch::GradMode::is_enabled()) return run_forward(*call, x, rows, nullptr);
  const torch::Tensor tie = anchor.defined() ? anchor : x.new_zeros({});  // autograd wants a defined input
  return AdaptedLinear::apply(x, tie, call, &rows);
}

torch::Tensor adapted_linear_reference(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias,
                                       const torch::Tensor& a, const torch::Tensor& b, const torch::Tensor& r,
                                       double scale, const torch::Tensor& mask) {
  const torch::Tensor read = mask.defined() ? x * mask.to(x.options()) : x;
  return x.matmul(weight.t()) + bias + scale * read.matmul(a.t()).matmul(r.t()).matmul(b.t());
}

}  // namespace loraxs
