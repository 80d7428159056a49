#include "model/weight_gradients.h"

#include <ATen/ops/linear.h>

namespace loraxs {

WeightGradients::WeightGradients(const BaseModel& model, const std::vector<ProjectionGroup>& groups,
                                 torch::ScalarType dtype) {
  torch::NoGradGuard no_grad;
  for (const ProjectionGroup& group : groups) {
    std::vector<torch::Tensor> weights, biases;
    for (size_t i = 0; i < group.sites.size(); ++i) {
      const Site& site = group.sites[i];
      places_[site.name] = {.group = projections_.size(), .first = group.columns[i], .count = site.out_features};
      weights.push_back(model.site_weight(site).to(dtype));
      if (model.has(site.name + ".bias")) biases.push_back(model.weight(site.name + ".bias").to(dtype));
    }
    TORCH_CHECK(biases.empty() || biases.size() == weights.size(), "WeightGradients: a group with biases in part");
    projections_.push_back({.weight = torch::cat(weights).requires_grad_(true),
                            .bias = biases.empty() ? torch::Tensor() : torch::cat(biases)});
  }
}

torch::Tensor WeightGradients::project(size_t group, const torch::Tensor& x, RowKind) {
  const Projection& projection = projections_.at(group);
  return at::linear(x, projection.weight, projection.bias);
}

torch::Tensor WeightGradients::gradient(const std::string& site) const {
  const Place& place = places_.at(site);
  const torch::Tensor& weight = projections_[place.group].weight;
  const torch::Tensor& gradient = weight.grad();
  return (gradient.defined() ? gradient : torch::zeros_like(weight)).narrow(0, place.first, place.count);
}

}  // namespace loraxs
