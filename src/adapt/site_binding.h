// adapt/site_binding.h: a slot's row as the tensors of one projection: the one place that knows their names.
#pragma once
#include "adapt/adapter_set.h"
#include "adapt/basis.h"
#include "ops/site_adapter.h"

namespace loraxs {

/// Where the rows of a layout hold what they have of `site`; nothing in it is defined where they have nothing. `basis`
/// may be null for methods that read none.
SiteParts site_parts(const Layout& layout, const Site& site, const Basis* basis);

/// The adapter of row `row` at `site`, without gradients.
SiteAdapter bind_site(const Bank& bank, int64_t row, const Site& site, const Basis* basis);

/// What merging makes of a weight [out, in]: weight + sign · update, for residual methods less what the base lost. In
/// float32 (float64 for float64), then the weight's dtype. Throws Error for sign −1 where the method owns the weight:
/// nothing of the base is left in it.
torch::Tensor merged_weight(const torch::Tensor& weight, const Bank& bank, int64_t row, const Site& site,
                            const Basis& basis, double sign = 1);

/// ΔW = (alpha / rank) b a, as runtimes of LoRA hold it: everything else of the method stands inside b.
struct LoraForm {
  torch::Tensor a;  // [rank, in_features] float32
  torch::Tensor b;  // [out_features, rank] float32
  int64_t rank() const { return a.size(0); }
};
/// Of any method that adds to W; `target` names the format in the error for others. A residual method takes two ranks.
LoraForm lora_form(const Bank& bank, int64_t row, const Site& site, const Basis& basis, const std::string& target);

}  // namespace loraxs
