#include "adapt/methods/pissa.h"

#include <cmath>

#include "adapt/methods/lora.h"

namespace loraxs {
namespace {

// PEFT 0.21's pissa_init: with Σ / scale in two halves, a = √(Σ/scale) V'ᵀ and b = U' √(Σ/scale), so that scale · b a
// is what the residual base lost. In the basis' letters a = Σ V'ᵀ and b = U'.
void initialize_pissa(const Layout& layout, std::span<float> row, const MethodStart& start) {
  TORCH_CHECK(start.basis != nullptr, "pissa: a start without a basis");
  for (size_t i = 0; i < layout.sites.size(); ++i) {
    const std::string& name = layout.sites[i].name;
    const SiteBasis& pair = start.basis->at(name);
    const int64_t rank = layout.ranks[i];
    const torch::Tensor a = pair.a.narrow(0, 0, rank).to(torch::kFloat64),
                        b = pair.b.narrow(1, 0, rank).to(torch::kFloat64);
    const torch::Tensor sigma = a.norm(2, 1).clamp_min(1e-300);  // [rank]
    const double scale = rank_scale(start.alpha, rank, layout.options);
    const torch::Tensor half = (sigma / scale).sqrt();
    const torch::Tensor a0 = (a / sigma.unsqueeze(1) * half.unsqueeze(1)).to(torch::kFloat32).contiguous(),
                        b0 = (b * half).to(torch::kFloat32).contiguous();
    std::copy_n(a0.const_data_ptr<float>(), a0.numel(), segment_span(layout, row, name + ".a").begin());
    std::copy_n(b0.const_data_ptr<float>(), b0.numel(), segment_span(layout, row, name + ".b").begin());
  }
}

}  // namespace

Method pissa() {
  Method method = lora();
  method.name = "pissa";
  method.meaning = "a and b trained from the leading singular triples, which the base loses";
  method.traits = {.reads_basis = true, .residual = true};
  method.keys = {"budget", "rank", "dropout", "alpha", "rank_pattern", "rslora"};
  method.initialize = initialize_pissa;
  return method;
}

}  // namespace loraxs
