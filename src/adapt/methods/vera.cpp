#include "adapt/methods/vera.h"

#include <algorithm>

namespace loraxs {
namespace {

std::vector<LayoutSegment> vera_segments(const Site& site, int64_t rank, const MethodOptions&) {
  return {{.name = "d", .shape = {rank}}, {.name = "g", .shape = {site.out_features}}};
}

// d = 0.1 and g = 0 (PEFT's vera_lambda_d and vera_lambda_b); nothing is drawn.
void initialize_vera(const Layout& layout, std::span<float> row, const MethodStart& start) {
  for (const Site& site : layout.sites) {
    const std::span<float> d = segment_span(layout, row, site.name + ".d");
    std::fill(d.begin(), d.end(), static_cast<float>(start.d_initial));
  }
}

}  // namespace

Method vera() {
  return {.name = "vera",
          .meaning = "two vectors beside one frozen random pair for all sites",
          .traits = {.reads_basis = true, .any_rank = true, .basis = "vera"},
          .keys = {"budget", "rank", "dropout", "d_initial", "basis"},
          .segments = vera_segments,
          .initialize = initialize_vera};
}

}  // namespace loraxs
