#include "adapt/exchange/peft_start.h"

#include <ATen/core/grad_mode.h>

#include <cmath>

#include "adapt/svd.h"
#include "io/error.h"

namespace loraxs {
namespace {

/// b [out_features, rank] and a [rank, in_features] float64, without the scale.
struct StartPair {
  torch::Tensor b, a;
};

StartPair start_of(PeftStart start, const torch::Tensor& weight, int64_t rank, double scale) {
  const torch::Tensor w = weight.to(torch::kFloat64);  // [out_features, in_features]
  if (start == PeftStart::kOlora) {
    const auto [q, r] = at::linalg_qr(w);
    return {q.narrow(1, 0, rank), r.narrow(0, 0, rank)};
  }
  const auto [u, s, vh] = at::linalg_svd(w, /*full_matrices=*/false);
  const torch::Tensor root = (s.narrow(0, 0, rank) / scale).sqrt();  // [rank]
  return {u.narrow(1, 0, rank) * root, root.unsqueeze(1) * vh.narrow(0, 0, rank)};
}

}  // namespace

void take_start_back(PeftAdapter& adapter, const BaseModel& model) {
  if (adapter.start == PeftStart::kWhole) return;
  torch::NoGradGuard no_grad;
  const std::string where = adapter.folder.string();
  if (adapter.has_r()) {
    throw Error(
        concat(where, ": init_lora_weights: expected a start that leaves the base whole beside R, found another"));
  }
  for (PeftModule& module : adapter.modules) {
    if (module.rank() > std::min(module.site.in_features, module.site.out_features)) {
      throw Error(concat(where, ": ", module.site.hf_name, ": expected a rank of at most the smaller width, found ",
                         module.rank()));
    }
    const torch::Tensor weight = model.site_weight(module.site);
    check_finite(weight, concat(model.folder.string(), ": ", module.site.hf_name));
    const StartPair start = start_of(adapter.start, weight, module.rank(), module.scale);
    module.a = torch::cat({module.a, start.a.to(torch::kFloat32)}, 0);
    module.b = torch::cat({module.b, -start.b.to(torch::kFloat32)}, 1);
    module.alpha *= adapter.rslora ? std::sqrt(2.0) : 2.0;
  }
}

}  // namespace loraxs
