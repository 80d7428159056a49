#include "train/input_basis.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>

#include "adapt/prepared_model.h"
#include "adapt/svd.h"
#include "batch/token_budget.h"
#include "model/batch_tensors.h"
#include "ops/adapted_linear.h"
#include "train/gradient_start.h"

namespace loraxs {
namespace {

/// What the examples' tokens give at a site.
struct Moments {
  torch::Tensor outputs;    // [out, out] float64: Σ y yᵀ of y = W x
  double input_square = 0;  // Σ ‖x‖²
  int64_t tokens = 0;
};

/// The plain projections of a model, and the moments of those of some sites.
class MomentHook final : public ProjectionHook {
 public:
  MomentHook(const PreparedModel& model, const Layout& layout) : model_(model) {
    for (const Site& site : layout.sites) {
      moments_[site.name].outputs = torch::zeros({site.out_features, site.out_features}, torch::kFloat64);
    }
  }

  torch::Tensor project(size_t group, const torch::Tensor& x, RowKind) const override {
    const JoinedProjection& projection = model_.projection(group);
    torch::Tensor y = adapted_linear(x, {}, projection, std::make_shared<std::vector<SegmentAdapters>>());
    const ProjectionGroup& sites = model_.backbone().groups()[group];
    for (size_t i = 0; i < sites.sites.size(); ++i) {
      const auto found = moments_.find(sites.sites[i].name);
      if (found == moments_.end()) continue;
      const int64_t column = sites.columns[i], width = sites.sites[i].out_features;
      torch::Tensor own = y.narrow(1, column, width);
      if (projection.bias.defined()) own = own - projection.bias.narrow(0, column, width);
      found->second.outputs += own.t().matmul(own).to(torch::kFloat64);
      found->second.input_square += x.to(torch::kFloat64).square().sum().item<double>();
      found->second.tokens += x.size(0);
    }
    return y;
  }
  bool trains(size_t) const override { return false; }

  const Moments& at(const std::string& site) const { return moments_.at(site); }

 private:
  const PreparedModel& model_;
  mutable std::map<std::string, Moments> moments_;
};

SiteBasis site_basis(const torch::Tensor& weight, const Moments& moments, const BasisRecipe& recipe, double* residual) {
  constexpr double kShare = 1e-3;
  const torch::Tensor w = weight.to(torch::kFloat64);
  const double floor = kShare * moments.input_square / static_cast<double>(moments.tokens * w.size(1));
  const torch::Tensor gram = moments.outputs / moments.tokens + floor * w.matmul(w.t());
  const SingularTriples triples = leading_triples(gram, recipe.rank);
  *residual = std::max(triples.left_residual, triples.right_residual);
  torch::Tensor a = triples.u.t().matmul(w);  // [rank, in_features]
  if (!recipe.sigma) a = a / triples.s.sqrt().unsqueeze(1);
  return {.a = a.to(torch::kFloat32).contiguous(), .b = triples.u.to(torch::kFloat32).contiguous()};
}

}  // namespace

Basis input_basis(const BaseModel& model, const Layout& layout, const BasisRecipe& recipe,
                  const ExampleView& examples) {
  torch::NoGradGuard no_grad;
  const PreparedModel prepared(model, nullptr, Reservation::of({}), {});
  const auto hook = std::make_shared<MomentHook>(prepared, layout);
  for (const std::vector<int64_t>& indices : batches_by_tokens(examples.lengths(), kTokensPerBatch)) {
    std::vector<Sequence> sequences;
    sequences.reserve(indices.size());
    for (const int64_t index : indices) sequences.push_back(examples.sequence(index, kNoSlot));
    const BatchTensors tensors = make_batch_tensors(pack(sequences), torch::kCPU);
    prepared.backbone().forward(tensors, hook, /*training=*/false, /*cache=*/nullptr);
  }
  Basis basis{.recipe = recipe, .base_id = model.base_id};
  basis.recipe.rank = layout.largest_rank();
  std::vector<SiteBasis> pairs(layout.sites.size());
  std::vector<double> residuals(pairs.size());
  at::parallel_for(0, static_cast<int64_t>(pairs.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Site& site = layout.sites[i];
      pairs[i] = site_basis(model.site_weight(site), hook->at(site.name), basis.recipe, &residuals[i]);
    }
  });
  for (size_t i = 0; i < pairs.size(); ++i) {
    basis.sites[layout.sites[i].name] = std::move(pairs[i]);
    basis.residuals[layout.sites[i].name] = residuals[i];
  }
  return basis;
}

ExampleView input_examples(const ExampleView& train) {
  constexpr int64_t kExamples = 256;
  return gradient_examples(train, kExamples);
}

}  // namespace loraxs
