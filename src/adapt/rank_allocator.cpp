#include "adapt/rank_allocator.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>

namespace loraxs {
namespace {

torch::Tensor segment_of(const torch::Tensor& row, const LayoutSegment& segment) {
  return row.narrow(0, segment.offset, segment.numel()).view(segment.shape);
}

}  // namespace

RankAllocator::RankAllocator(const Layout& layout, const RankBudget& budget, int64_t total_steps)
    : layout_(layout), budget_(budget), total_steps_(total_steps) {
  for (const int64_t rank : layout.ranks) initial_ += rank;
  target_ = budget.target_rank * static_cast<int64_t>(layout.ranks.size());
}

int64_t RankAllocator::budget(int64_t step) const {
  if (step <= budget_.initial_steps) return initial_;
  const int64_t end = total_steps_ - budget_.final_steps;
  if (step >= end) return target_;
  const double left =
      1 - static_cast<double>(step - budget_.initial_steps) / static_cast<double>(end - budget_.initial_steps);
  return static_cast<int64_t>(static_cast<double>(initial_ - target_) * std::pow(left, 3) +
                              static_cast<double>(target_));
}

double RankAllocator::add_penalty_(const torch::Tensor& values, const torch::Tensor& gradient) const {
  torch::NoGradGuard no_grad;
  const double factor = budget_.orthogonality / static_cast<double>(2 * layout_.sites.size());
  struct Penalised {
    const LayoutSegment* segment;
    bool left;
    torch::Tensor vectors, excess;  // [rank, width], [rank, rank]
  };
  std::vector<Penalised> all;
  std::vector<torch::Tensor> norms;
  all.reserve(2 * layout_.sites.size());
  norms.reserve(2 * layout_.sites.size());
  for (const Site& site : layout_.sites) {
    for (const bool left : {false, true}) {
      const LayoutSegment& segment = *layout_.find(site.name + (left ? ".b" : ".a"));
      const torch::Tensor own = segment_of(values, segment), vectors = left ? own.t() : own;
      const torch::Tensor excess = vectors.matmul(vectors.t()) - torch::eye(vectors.size(0), values.options());
      all.push_back({&segment, left, vectors, excess});
      norms.push_back(excess.norm());
    }
  }
  const torch::Tensor fetched = torch::stack(norms).to(torch::kCPU, torch::kFloat64);  // a device is asked once
  double sum = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    const double norm = fetched.const_data_ptr<double>()[i];
    sum += norm;
    if (norm == 0) continue;
    const torch::Tensor change = all[i].excess.matmul(all[i].vectors);
    segment_of(gradient, *all[i].segment).add_(all[i].left ? change.t() : change, 2 * factor / norm);
  }
  return factor * sum;
}

void RankAllocator::prune_(const torch::Tensor& values, const torch::Tensor& gradient, const RankMemory& memory,
                           int64_t step) const {
  torch::NoGradGuard no_grad;
  const int64_t end = total_steps_ - budget_.final_steps;
  const torch::Tensor numbers = values.narrow(0, 0, layout_.adapter_numbers);
  if (step < end) {
    const torch::Tensor now = (numbers * gradient.narrow(0, 0, layout_.adapter_numbers)).abs();
    memory.importance.mul_(budget_.beta1).add_(now, 1 - budget_.beta1);
    memory.uncertainty.mul_(budget_.beta2).add_((now - memory.importance).abs(), 1 - budget_.beta2);
  } else if (step > end) {
    for (const Site& site : layout_.sites) {
      const LayoutSegment& d = *layout_.find(site.name + ".d");
      segment_of(values, d).mul_(segment_of(memory.importance, d));
    }
    return;
  }
  if (step < end && (step <= budget_.initial_steps || step % budget_.interval != 0)) return;
  const torch::Tensor score = memory.importance * memory.uncertainty;
  std::vector<torch::Tensor> triples;  // per site [rank]
  for (const Site& site : layout_.sites) {
    const auto part = [&](const char* name) { return segment_of(score, *layout_.find(site.name + name)); };
    triples.push_back(part(".d") + (part(".a").mean(1) + part(".b").mean(0)));
  }
  const torch::Tensor all = torch::cat(triples);
  const int64_t pruned = initial_ - budget(step);
  const torch::Tensor threshold =
      pruned > 0 ? std::get<0>(all.kthvalue(pruned)) : torch::full({}, -1, all.options());  // scores are ≥ 0
  if (step == end) {
    memory.importance.zero_();
    memory.uncertainty.zero_();
  }
  for (size_t i = 0; i < layout_.sites.size(); ++i) {
    const LayoutSegment& d = *layout_.find(layout_.sites[i].name + ".d");
    const torch::Tensor kept = triples[i].gt(threshold).to(values.scalar_type());
    segment_of(values, d).mul_(kept);
    if (step == end) segment_of(memory.importance, d).copy_(kept);
  }
}

}  // namespace loraxs
