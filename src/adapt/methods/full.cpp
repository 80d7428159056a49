#include "adapt/methods/full.h"

namespace loraxs {
namespace {

std::vector<LayoutSegment> full_segments(const Site& site, int64_t, const MethodOptions&) {
  std::vector<LayoutSegment> parts = {{.name = "weight", .shape = {site.out_features, site.in_features}}};
  if (site.has_bias) parts.push_back({.name = "bias", .shape = {site.out_features}});
  return parts;
}

void initialize_full(const Layout& layout, std::span<float> row, const MethodStart& start) {
  TORCH_CHECK(start.model != nullptr, "full: a start without the base's weights");
  for (const LayoutSegment& segment : layout.segments) {
    if (segment.head) continue;
    const torch::Tensor weight = start.model->weight(segment.name).to(torch::kFloat32).contiguous();
    std::copy_n(weight.const_data_ptr<float>(), weight.numel(), row.begin() + segment.offset);
  }
}

}  // namespace

Method full() {
  return {.name = "full",
          .meaning = "the projections' own weights and biases",
          .traits = {.owns_weight = true},
          .segments = full_segments,
          .initialize = initialize_full};
}

}  // namespace loraxs
