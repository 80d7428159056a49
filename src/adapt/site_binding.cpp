#include "adapt/site_binding.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/normal.h>

#include <algorithm>

#include "adapt/method.h"
#include "io/error.h"

namespace loraxs {
namespace {

/// P of TinyLoRA at one site -> [vectors, rank, rank], in the basis' terms. PEFT 0.21: P ~ N(0, 1 / rank) from a
/// generator of (seed + number of the site); its a and b hold √Σ each, ours hold Σ on a: so P_ij √σ_i / √σ_j stands
/// here.
torch::Tensor fixed_projections(const Layout& layout, const Site& site, const SiteBasis& pair) {
  const int64_t rank = layout.rank_of(site.name);
  const auto number = std::find(layout.sites.begin(), layout.sites.end(), site) - layout.sites.begin();
  const auto seed = static_cast<uint64_t>(layout.options.projection_seed + number);
  const torch::Tensor p = at::normal(0.0, 1 / std::sqrt(static_cast<double>(rank)),
                                     {layout.options.vectors, rank, rank}, at::detail::createCPUGenerator(seed));
  const torch::Tensor root = pair.a.narrow(0, 0, rank).to(torch::kFloat64).norm(2, 1).clamp_min(1e-300).sqrt();
  return p * (root.unsqueeze(1) / root.unsqueeze(0));
}

}  // namespace

SiteParts site_parts(const Layout& layout, const Site& site, const Basis* basis) {
  SiteParts parts;
  if (!layout.adapts(site.name)) return parts;
  const auto part = [&](const char* name) -> RowPart {
    const LayoutSegment* segment = layout.part(site, name);
    if (segment == nullptr) return {};
    return {.offset = segment->offset, .shape = segment->shape};
  };
  parts.r = part("r");
  parts.d = part("d");
  parts.v = part("v");
  parts.a = part("a");
  parts.b = part("b");
  parts.g = part("g");
  parts.weight = part("weight");
  parts.bias = part("bias");
  parts.rank = layout.rank_of(site.name);
  const Method& method = find_method(layout.method, "adapter");
  if (method.divisor != nullptr) parts.divisor = method.divisor(parts.rank, layout.options);
  if (parts.v.defined()) {
    TORCH_CHECK(basis != nullptr, "site_parts: ", layout.method, " without a basis");
    parts.projections = fixed_projections(layout, site, basis->at(site.name));
  }
  return parts;
}

SiteAdapter bind_site(const Bank& bank, int64_t row, const Site& site, const Basis* basis) {
  return {site_parts(*bank.layout, site, basis), bank.row(row)};
}

torch::Tensor merged_weight(const torch::Tensor& weight, const Bank& bank, int64_t row, const Site& site,
                            const Basis& basis, double sign) {
  torch::NoGradGuard no_grad;
  const auto type = weight.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  const SiteAdapter adapter = bind_site(bank, row, site, &basis);
  if (adapter.replaces()) {
    if (sign < 0) {
      throw Error(concat(site.name, ": expected an adapter that adds to the weight, found one of method ",
                         bank.layout->method, ", whose weights take the base's place; keep the base's folder"));
    }
    return adapter.weight.value.to(weight.scalar_type());
  }
  const MethodTraits& traits = find_method(bank.layout->method, "merge").traits;
  const SiteBasis pair = traits.reads_basis ? basis.at(site.name) : SiteBasis{};
  torch::Tensor update = site_update(adapter, pair.a, pair.b, type);
  if (traits.residual) update = update - residual_loss(pair, adapter.rank(), type);
  return weight.to(type).add(update, sign).to(weight.scalar_type());
}

LoraForm lora_form(const Bank& bank, int64_t row, const Site& site, const Basis& basis, const std::string& target) {
  const SiteAdapter adapter = bind_site(bank, row, site, &basis);
  if (adapter.replaces()) {
    throw Error(concat("export: ", target, ": expected an adapter that adds to the weights, found method ",
                       bank.layout->method, ", which replaces them; write a model with loraxs merge"));
  }
  const MethodTraits& traits = find_method(bank.layout->method, "export").traits;
  const SiteBasis pair = traits.reads_basis ? basis.at(site.name) : SiteBasis{};
  const torch::Tensor own = adapter.a.defined() ? adapter.a.value : pair.a.narrow(0, 0, adapter.rank());
  torch::Tensor a = own.to(torch::kFloat64), b = site_left_factor(adapter, pair.b, torch::kFloat64);  // ΔW = b a
  if (traits.residual) {  // what the base lost is taken off by as many columns more
    a = torch::cat({a, pair.a.narrow(0, 0, adapter.rank()).to(torch::kFloat64)});
    b = torch::cat({b, -pair.b.narrow(1, 0, adapter.rank()).to(torch::kFloat64)}, 1);
  }
  const double scale = bank.alpha(row) / static_cast<double>(a.size(0));  // that the runtime multiplies with
  return {.a = a.to(torch::kFloat32).contiguous(), .b = (b / scale).to(torch::kFloat32).contiguous()};
}

}  // namespace loraxs
