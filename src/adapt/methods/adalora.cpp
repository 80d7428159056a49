#include "adapt/methods/adalora.h"

#include "io/seeds.h"

namespace loraxs {
namespace {

std::vector<LayoutSegment> adalora_segments(const Site& site, int64_t rank, const MethodOptions&) {
  return {{.name = "a", .shape = {rank, site.in_features}},
          {.name = "d", .shape = {rank}},
          {.name = "b", .shape = {site.out_features, rank}}};
}

// PEFT 0.21: a, b ~ N(0, 0.02²), d = 0.
void initialize_adalora(const Layout& layout, std::span<float> row, const MethodStart& start) {
  constexpr double kStd = 0.02;
  for (const Site& site : layout.sites) {
    for (const char* part : {".a", ".b"}) {
      fill_normal(segment_span(layout, row, site.name + part), derive_seed(start.job_seed, "init " + site.name + part),
                  kStd);
    }
  }
}

// PEFT divides by the rank it started with and 1e-5, whatever is pruned later.
double adalora_divisor(int64_t rank, const MethodOptions&) { return static_cast<double>(rank) + 1e-5; }

}  // namespace

Method adalora() {
  return {.name = "adalora",
          .meaning = "triples a, d, b, pruned to a budget over all sites",
          .traits = {.prunes = true},
          .keys = {"budget", "rank", "dropout", "alpha", "rank_pattern", "adalora"},
          .segments = adalora_segments,
          .initialize = initialize_adalora,
          .divisor = adalora_divisor};
}

}  // namespace loraxs
