#include "adapt/methods/lora_xs.h"

#include "io/seeds.h"

namespace loraxs {
namespace {

std::vector<LayoutSegment> lora_xs_segments(const Site&, int64_t rank, const MethodOptions&) {
  return {{.name = "r", .shape = {rank, rank}}};
}

// R ~ N(0, init_std²), 1e-5 in all of the paper's experiments (footnote 4). Drawn per site, so that a site's start does
// not depend on which other sites are adapted.
void initialize_lora_xs(const Layout& layout, std::span<float> row, const MethodStart& start) {
  for (const LayoutSegment& segment : layout.segments) {
    if (segment.head) continue;
    fill_normal(row.subspan(segment.offset, segment.numel()), derive_seed(start.job_seed, "init " + segment.name),
                start.init_std);
  }
}

}  // namespace

Method lora_xs() {
  return {.name = "lora_xs",
          .meaning = "R between frozen singular vectors",
          .traits = {.reads_basis = true, .combines = true},
          .keys = {"budget", "rank", "dropout", "alpha", "rank_pattern", "init_std", "basis"},
          .segments = lora_xs_segments,
          .initialize = initialize_lora_xs,
          .divisor = rank_divisor};
}

}  // namespace loraxs
