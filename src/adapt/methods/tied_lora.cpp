#include "adapt/methods/tied_lora.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "io/seeds.h"

namespace loraxs {
namespace {

/// The modules among `sites`, each once, with a site of theirs.
std::vector<const Site*> modules_of(const std::vector<Site>& sites) {
  std::vector<const Site*> modules;
  std::set<std::string> seen;
  for (const Site& site : sites) {
    if (seen.insert(site.module).second) modules.push_back(&site);
  }
  return modules;
}

std::vector<LayoutSegment> tied_lora_shared(const std::vector<Site>& sites, int64_t rank, const MethodOptions&) {
  std::vector<LayoutSegment> segments;
  for (const Site* site : modules_of(sites)) {
    segments.push_back({.name = "shared." + site->module + ".a", .shape = {rank, site->in_features}});
    segments.push_back({.name = "shared." + site->module + ".b", .shape = {site->out_features, rank}});
  }
  return segments;
}

std::vector<LayoutSegment> tied_lora_segments(const Site& site, int64_t rank, const MethodOptions&) {
  return {{.name = "d", .shape = {rank}}, {.name = "g", .shape = {site.out_features}}};
}

// As LoRA, with u = v = 1 (here d and g).
void initialize_tied_lora(const Layout& layout, std::span<float> row, const MethodStart& start) {
  for (const Site* site : modules_of(layout.sites)) {
    const std::string name = "shared." + site->module + ".a";
    const double bound = 1 / std::sqrt(static_cast<double>(site->in_features));
    fill_uniform(segment_span(layout, row, name), derive_seed(start.job_seed, "init " + name), -bound, bound);
  }
  for (const Site& site : layout.sites) {
    for (const char* part : {".d", ".g"}) {
      const std::span<float> ones = segment_span(layout, row, site.name + part);
      std::fill(ones.begin(), ones.end(), 1.0F);
    }
  }
}

}  // namespace

Method tied_lora() {
  return {.name = "tied_lora",
          .meaning = "a and b of a module shared by all layers, two vectors per layer",
          .keys = {"budget", "rank", "dropout", "alpha", "rslora"},
          .segments = tied_lora_segments,
          .shared = tied_lora_shared,
          .initialize = initialize_tied_lora,
          .divisor = rank_divisor};
}

}  // namespace loraxs
