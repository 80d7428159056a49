#include "adapt/methods/tiny_lora.h"

namespace loraxs {
namespace {

std::vector<LayoutSegment> tiny_lora_segments(const Site&, int64_t, const MethodOptions& options) {
  if (options.tied) return {};
  return {{.name = "v", .shape = {options.vectors}}};
}

std::vector<LayoutSegment> tiny_lora_shared(const std::vector<Site>&, int64_t, const MethodOptions& options) {
  if (!options.tied) return {};
  return {{.name = "shared.v", .shape = {options.vectors}}};
}

void initialize_tiny_lora(const Layout&, std::span<float>, const MethodStart&) {}  // v = 0

// PEFT's TinyLoRA has no alpha.
}  // namespace

Method tiny_lora() {
  return {.name = "tiny_lora",
          .meaning = "a few numbers v between frozen singular vectors: R = Σ v_k P_k",
          .traits = {.reads_basis = true},
          .keys = {"rank", "dropout", "vectors", "tied", "projection_seed"},
          .segments = tiny_lora_segments,
          .shared = tiny_lora_shared,
          .initialize = initialize_tiny_lora};
}

}  // namespace loraxs
