#include "train/gradient_start.h"

#include <ATen/Parallel.h>

#include <algorithm>

#include "adapt/head_tensors.h"
#include "adapt/method.h"
#include "adapt/svd.h"

namespace loraxs {

GradientStart gradient_start(const TaskGradient& gradient, const Layout& layout, double alpha,
                             const std::string& base_id) {
  const int64_t rank = layout.largest_rank();
  GradientStart start{.basis = {.recipe = {.rank = rank, .variant = "gradient", .sigma = false}, .base_id = base_id}};
  std::vector<SingularTriples> triples(layout.sites.size());
  at::parallel_for(0, static_cast<int64_t>(triples.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      triples[i] = leading_triples(-gradient.weights.at(layout.sites[i].name).sign(), rank);
    }
  });
  Bank bank = make_bank(layout, alpha, 1);
  for (size_t i = 0; i < triples.size(); ++i) {
    const SingularTriples& each = triples[i];
    const std::string& name = layout.sites[i].name;
    start.basis.sites[name] = {.a = each.v.t().to(torch::kFloat32).contiguous(),
                               .b = each.u.to(torch::kFloat32).contiguous()};
    start.basis.residuals[name] = std::max(each.left_residual, each.right_residual);
    const double scale = rank_scale(alpha, layout.ranks[i], layout.options);
    segment_value(bank, 0, *layout.find(name + ".r")).diagonal().copy_(each.s.narrow(0, 0, layout.ranks[i]) / scale);
  }
  start.row = bank.values.select(0, 0).narrow(0, 0, layout.adapter_numbers);
  return start;
}

ExampleView gradient_examples(const ExampleView& train, int64_t count) {
  constexpr int64_t kShare = 1000, kLeast = 32;
  if (count == 0) count = std::max(kLeast, train.size() / kShare);
  count = std::min(count, train.size());
  std::vector<int64_t> indices(count);
  for (int64_t i = 0; i < count; ++i) indices[i] = i * train.size() / count;
  return train.take(indices);
}

}  // namespace loraxs
