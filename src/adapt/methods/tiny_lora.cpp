#include "adapt/methods/tiny_lora.h"

namespace loraxs {
namespace {

std::vector<LayoutSegment> segments(const Site&, int64_t, const MethodOptions& options) {
  if (options.tied) return {};
  return {{.name = "v", .shape = {options.vectors}}};
}

std::vector<LayoutSegment> shared(const std::vector<Site>&, int64_t, const MethodOptions& options) {
  if (!options.tied) return {};
  return {{.name = "shared.v", .shape = {options.vectors}}};
}

void initialize(const Layout&, std::span<float>, const MethodStart&) {}  // v = 0

// PEFT's TinyLoRA has no alpha.
double scale(double, int64_t, const MethodOptions&) { return 1; }

}  // namespace

Method tiny_lora() {
  return {.name = "tiny_lora",
          .meaning = "a few numbers v between frozen singular vectors: R = Σ v_k P_k",
          .traits = {.reads_basis = true},
          .keys = {"rank", "vectors", "tied", "projection_seed"},
          .segments = segments,
          .shared = shared,
          .initialize = initialize,
          .scale = scale};
}

}  // namespace loraxs
