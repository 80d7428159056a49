#include "adapt/methods/lora.h"

#include <cmath>

#include "io/error.h"
#include "io/seeds.h"

namespace loraxs {
namespace {

std::vector<LayoutSegment> lora_segments(const Site& site, int64_t rank, const MethodOptions&) {
  return {{.name = "a", .shape = {rank, site.in_features}}, {.name = "b", .shape = {site.out_features, rank}}};
}

// PEFT 0.21: a ~ U(±1/√in) (Kaiming with a = √5) or N(0, 1/rank²), b = 0. From the SVD: the reference's `r_squared:
// false`, b = V_r and a drawn anew with standard deviation 1e-5 (paper.md §1.8).
void initialize_lora(const Layout& layout, std::span<float> row, const MethodStart& start) {
  for (size_t i = 0; i < layout.sites.size(); ++i) {
    const Site& site = layout.sites[i];
    const int64_t rank = layout.ranks[i];
    const std::span<float> a = segment_span(layout, row, site.name + ".a");
    const uint64_t seed = derive_seed(start.job_seed, "init " + site.name + ".a");
    if (start.init == "default") {
      const double bound = 1 / std::sqrt(static_cast<double>(site.in_features));
      fill_uniform(a, seed, -bound, bound);
      continue;
    }
    fill_normal(a, seed, start.init == "svd" ? start.init_std : 1.0 / static_cast<double>(rank));
    if (start.init != "svd") continue;
    TORCH_CHECK(start.basis != nullptr, "lora: init svd without a basis");
    const torch::Tensor b = start.basis->at(site.name).b.narrow(1, 0, rank).contiguous();
    std::copy_n(b.const_data_ptr<float>(), b.numel(), segment_span(layout, row, site.name + ".b").begin());
  }
}

}  // namespace

Method lora() {
  return {.name = "lora",
          .meaning = "a and b trained",
          .traits = {.any_rank = true, .concatenates = true},
          .keys = {"budget", "rank", "dropout", "alpha", "rank_pattern", "rslora", "init", "init_std", "basis"},
          .segments = lora_segments,
          .initialize = initialize_lora,
          .divisor = rank_divisor};
}

}  // namespace loraxs
