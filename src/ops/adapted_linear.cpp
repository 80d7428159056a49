#include "ops/adapted_linear.h"

#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "ops/skinny_gemm.h"
#include "ops/slot_products.h"
#include "ops/trained_linear.h"

namespace loraxs {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// What backward needs and autograd need not know of: shared by reference, the projection outlives the step.
struct AdaptedLinearCall : torch::CustomClassHolder {
  const JoinedProjection* projection;
  std::vector<SegmentAdapters> segments;
  RowKeys keys;
};

/// `values` [rows of the segment, in_features] under the site's mask, in the rows' dtype; as they are without dropout.
torch::Tensor dropped(const torch::Tensor& values, const JoinedSite& site, const SegmentAdapters& segment,
                      const RowKeys& keys) {
  if (!keys.defined() || !site.dropout.active()) return values;
  const auto type = values.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  return apply_dropout(values.to(type), site.dropout, keys.narrow(segment.begin, segment.end - segment.begin));
}

/// Whether an adapter's u comes from what it alone reads, and not out of the wide GEMM.
bool has_own_input(const JoinedSite& site, const SiteAdapter& adapter, const RowKeys& keys) {
  return adapter.a.defined() || (keys.defined() && site.dropout.active());
}

/// `use`(site, segment, adapter) for every adapter of the call, site by site.
template <typename Use>
void for_adapters(const JoinedProjection& projection, const std::vector<SegmentAdapters>& segments, const Use& use) {
  for (size_t i = 0; i < projection.sites.size(); ++i) {
    for (const SegmentAdapters& segment : segments) {
      if (segment.sites[i].defined()) use(projection.sites[i], segment, segment.sites[i]);
    }
  }
}

bool any_replaces(const std::vector<SegmentAdapters>& segments) {
  return std::any_of(segments.begin(), segments.end(), [](const SegmentAdapters& segment) {
    return std::any_of(segment.sites.begin(), segment.sites.end(), [](const SiteAdapter& s) { return s.replaces(); });
  });
}

/// Rows that lie in some segment.
int64_t covered(const std::vector<SegmentAdapters>& segments) {
  int64_t rows = 0;
  for (const SegmentAdapters& segment : segments) rows += segment.end - segment.begin;
  return rows;
}

/// The site's adapters of which only R is the slot's own: one product with b for all of them.
void add_shared_outputs_(const torch::Tensor& y, const JoinedSite& site, size_t index,
                         const std::vector<SegmentAdapters>& segments) {
  std::vector<SlotMatrix> matrices;
  for (const SegmentAdapters& segment : segments) {
    const SiteAdapter& adapter = segment.sites[index];
    if (!adapter.only_r()) continue;
    matrices.push_back({.begin = segment.begin, .end = segment.end, .r = &adapter.r, .scale = adapter.scale});
  }
  if (matrices.empty()) return;
  const torch::Tensor z = slot_products(y.narrow(1, site.u_column, site.rank), matrices);  // scale · u Rᵀ
  const int64_t first = matrices.front().begin, count = matrices.back().end - first;
  skinny_gemm_(y.narrow(0, first, count).narrow(1, site.column, site.out_features), z.narrow(0, first, count),
               site.b_transposed, 1.0, /*accumulate=*/true);
}

class AdaptedLinear : public torch::autograd::Function<AdaptedLinear> {
 public:
  static torch::Tensor forward(AutogradContext* ctx, const torch::Tensor& x, const torch::Tensor& /*anchor*/,
                               const JoinedProjection* projection, const std::vector<SegmentAdapters>* segments,
                               const AnswerRows* answers, const RowKeys* keys) {
    const bool frozen = projection->weight.out_features() > 0;
    TORCH_CHECK(frozen || covered(*segments) == x.size(0), "adapted_linear: rows without a weight");
    torch::Tensor y = frozen ? projection->weight.forward(x, projection->bias, *answers)
                             : x.new_empty({x.size(0), projection->out_features});  // [rows, width]
    // u of a frozen a under dropout takes the place of the wide GEMM's.
    for_adapters(*projection, *segments,
                 [&](const JoinedSite& site, const SegmentAdapters& segment, const SiteAdapter& adapter) {
                   if (adapter.a.defined() || adapter.replaces() || !has_own_input(site, adapter, *keys)) return;
                   const int64_t count = segment.end - segment.begin;
                   const torch::Tensor input = dropped(x.narrow(0, segment.begin, count), site, segment, *keys);
                   y.narrow(0, segment.begin, count)
                       .narrow(1, site.u_column, adapter.rank())
                       .copy_(site_input(adapter, site, input));
                 });
    for (size_t i = 0; i < projection->sites.size(); ++i) add_shared_outputs_(y, projection->sites[i], i, *segments);
    torch::Tensor kept_x;
    std::vector<torch::Tensor> own_u;  // of adapters with an a of their own
    for_adapters(*projection, *segments,
                 [&](const JoinedSite& site, const SegmentAdapters& segment, const SiteAdapter& adapter) {
                   if (adapter.trains_from_input()) kept_x = x;
                   if (adapter.only_r()) return;
                   const torch::Tensor input = x.narrow(0, segment.begin, segment.end - segment.begin),
                                       rows = y.narrow(0, segment.begin, segment.end - segment.begin),
                                       output = rows.narrow(1, site.column, site.out_features);
                   if (adapter.replaces()) {
                     output.copy_(trained_linear(input, adapter.weight, adapter.bias));
                     return;
                   }
                   const torch::Tensor u = adapter.a.defined()
                                               ? site_input(adapter, site, dropped(input, site, segment, *keys))
                                               : rows.narrow(1, site.u_column, adapter.rank());
                   if (adapter.a.defined()) own_u.push_back(u);
                   add_site_output_(output, u, site, adapter);
                 });
    const int64_t u_width = y.size(1) - projection->out_features;
    std::vector<torch::Tensor> saved = {
        u_width > 0 ? y.narrow(1, projection->out_features, u_width).contiguous() : torch::Tensor(), kept_x};
    saved.insert(saved.end(), own_u.begin(), own_u.end());
    ctx->save_for_backward(std::move(saved));
    auto call = c10::make_intrusive<AdaptedLinearCall>();
    call->projection = projection;
    call->segments = *segments;
    call->keys = *keys;
    ctx->saved_data["call"] = c10::IValue::make_capsule(call);
    return y;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    torch::NoGradGuard no_grad;
    const auto call = c10::static_intrusive_pointer_cast<AdaptedLinearCall>(ctx->saved_data["call"].toCapsule());
    const JoinedProjection& projection = *call->projection;
    const bool frozen = projection.weight.out_features() > 0;
    const bool needs_dx = ctx->needs_input_grad(0);
    const variable_list saved = ctx->get_saved_variables();
    const torch::Tensor &u_all = saved[0], &x = saved[1];
    size_t next_u = 2;
    torch::Tensor dy = grads[0].contiguous();  // [rows, width], its u columns ours to complete
    if (frozen && any_replaces(call->segments)) dy = dy.clone();
    if (needs_dx && u_all.defined()) dy.narrow(1, projection.out_features, u_all.size(1)).zero_();
    torch::Tensor own_dx;  // by way of a and W that slots bring themselves
    const auto own_dx_rows = [&](const SegmentAdapters& segment, int64_t in_features) {
      if (!own_dx.defined()) own_dx = dy.new_zeros({dy.size(0), in_features});
      return own_dx.narrow(0, segment.begin, segment.end - segment.begin);
    };
    for_adapters(
        projection, call->segments,
        [&](const JoinedSite& site, const SegmentAdapters& segment, const SiteAdapter& adapter) {
          const int64_t count = segment.end - segment.begin;
          const torch::Tensor rows = dy.narrow(0, segment.begin, count),
                              output = rows.narrow(1, site.column, site.out_features);
          if (adapter.replaces()) {
            const torch::Tensor d = trained_linear_backward_(
                output, x.defined() ? x.narrow(0, segment.begin, count) : x, adapter.weight, adapter.bias, needs_dx);
            if (needs_dx) own_dx_rows(segment, d.size(1)).add_(d);
            if (needs_dx && frozen) output.zero_();  // the frozen W has no part in these
            return;
          }
          const int64_t rank = adapter.rank();
          if (!adapter.a.defined() && !needs_dx && !adapter.trains()) return;
          const torch::Tensor u =
              adapter.a.defined()
                  ? saved[next_u++]
                  : u_all.narrow(0, segment.begin, count).narrow(1, site.u_column - projection.out_features, rank);
          if (!has_own_input(site, adapter, call->keys)) {  // du goes back through the wide GEMM
            site_backward_(needs_dx ? rows.narrow(1, site.u_column, rank) : torch::Tensor(), output, u, site, adapter);
            return;
          }
          const torch::Tensor du = torch::empty_like(u);
          site_backward_(du, output, u, site, adapter);
          if (adapter.a.gradients.defined()) {
            const torch::Tensor input = dropped(x.narrow(0, segment.begin, count), site, segment, call->keys);
            skinny_gemm_(adapter.a.gradient(), du.t(), input, 1.0, /*accumulate=*/true);
          }
          if (!needs_dx) return;
          const torch::Tensor a = input_factor(adapter, site);
          if (site.dropout.active() && call->keys.defined()) {
            const torch::Tensor d = torch::empty({count, a.size(1)}, a.options());
            skinny_gemm_(d, du, a, 1.0, /*accumulate=*/false);
            own_dx_rows(segment, a.size(1)).add_(dropped(d, site, segment, call->keys));
          } else {
            skinny_gemm_(own_dx_rows(segment, a.size(1)), du, a, 1.0, /*accumulate=*/true);
          }
        });
    torch::Tensor dx;
    if (needs_dx) dx = frozen ? projection.weight.backward(dy) : own_dx;
    if (needs_dx && frozen && own_dx.defined()) dx = dx + own_dx;
    return {dx, {}, {}, {}, {}, {}};
  }
};

}  // namespace

torch::Tensor adapted_linear(const torch::Tensor& x, const torch::Tensor& anchor, const JoinedProjection& projection,
                             const std::vector<SegmentAdapters>& segments, const AnswerRows& rows,
                             const RowKeys& keys) {
  const torch::Tensor tie = anchor.defined() ? anchor : x.new_zeros({});  // autograd wants a defined input
  return AdaptedLinear::apply(x, tie, &projection, &segments, &rows, &keys);
}

torch::Tensor adapted_linear_reference(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias,
                                       const torch::Tensor& a, const torch::Tensor& b, const torch::Tensor& r,
                                       double scale, const torch::Tensor& mask) {
  const torch::Tensor read = mask.defined() ? x * mask.to(x.options()) : x;
  return x.matmul(weight.t()) + bias + scale * read.matmul(a.t()).matmul(r.t()).matmul(b.t());
}

}  // namespace loraxs
