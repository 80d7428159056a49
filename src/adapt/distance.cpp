#include "adapt/distance.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/linalg_qr.h>

#include "adapt/head_tensors.h"
#include "adapt/method.h"
#include "io/error.h"

namespace loraxs {

torch::Tensor delta_coordinates(const std::vector<std::shared_ptr<Bank>>& adapters, const Basis& basis) {
  torch::NoGradGuard no_grad;
  const auto triangle = [](const torch::Tensor& tall) {
    return std::get<1>(at::linalg_qr(tall.to(torch::kFloat64), "r"));
  };
  const auto count = static_cast<int64_t>(adapters.size());
  std::vector<torch::Tensor> sites;  // each [adapters, rank²]
  for (const auto& [name, pair] : basis.sites) {
    const torch::Tensor left = triangle(pair.b), right = triangle(pair.a.t());  // [rank, rank]
    torch::Tensor coordinates = torch::zeros({count, left.size(0), right.size(0)}, torch::kFloat64);
    for (int64_t i = 0; i < count; ++i) {
      const Bank& bank = *adapters[i];
      const LayoutSegment* segment = bank.layout.find(name + ".r");
      if (segment == nullptr) continue;
      const torch::Tensor r = segment_value(bank, 0, *segment).to(torch::kFloat64);
      const int64_t rank = r.size(0);  // the first directions of the basis: its triangles' first columns
      coordinates[i].copy_(left.narrow(1, 0, rank).matmul(r).matmul(right.narrow(1, 0, rank).t()) *
                           (bank.alpha / static_cast<double>(rank)));
    }
    sites.push_back(coordinates.view({count, -1}));
  }
  return torch::cat(sites, 1);
}

}  // namespace loraxs
