#include "adapt/methods/lora_xs.h"

#include "io/seeds.h"

namespace loraxs {
namespace {

std::vector<LayoutSegment> segments(const Site&, int64_t rank) { return {{.name = "r", .shape = {rank, rank}}}; }

// R ~ N(0, init_std²), 1e-5 in all of the paper's experiments (footnote 4). Drawn per site, so that a site's start does
// not depend on which other sites are adapted.
void initialize(const Layout& layout, std::span<float> row, uint64_t job_seed, double init_std) {
  for (const LayoutSegment& segment : layout.segments) {
    if (segment.head) continue;
    fill_normal(row.subspan(segment.offset, segment.numel()), derive_seed(job_seed, "init " + segment.name), init_std);
  }
}

int64_t count(const Site&, int64_t rank) { return rank * rank; }

}  // namespace

Method lora_xs() {
  return {.name = "lora_xs",
          .traits = {.needs_basis = true, .combines = true},
          .segments = segments,
          .initialize = initialize,
          .count = count};
}

}  // namespace loraxs
