// tests/support/weight_gradients.h: the gradient of every projection's weight by nothing but autograd: an oracle.
#pragma once
#include <ATen/ops/linear.h>

#include <map>
#include <string>
#include <vector>

#include "model/base_model.h"
#include "model/projection_hook.h"

namespace loraxs::test {

/// A hook that leaves the forward as it is and sums ∂loss/∂W over all backward passes.
class WeightGradients final : public ProjectionHook {
 public:
  WeightGradients(const BaseModel& model, const std::vector<ProjectionGroup>& groups, torch::ScalarType dtype) {
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

  torch::Tensor project(size_t group, const torch::Tensor& x, RowKind) const override {
    return at::linear(x, projections_.at(group).weight, projections_.at(group).bias);
  }
  bool trains(size_t) const override { return true; }

  /// [out_features, in_features] of a site, in the dtype of the forward.
  torch::Tensor gradient(const std::string& site) const {
    const Place& place = places_.at(site);
    return projections_[place.group].weight.grad().narrow(0, place.first, place.count);
  }

 private:
  struct Projection {
    torch::Tensor weight;  // [out_features, in_features] of all sites of the group, a leaf that requires grad
    torch::Tensor bias;    // [out_features] or undefined
  };
  struct Place {
    size_t group = 0;
    int64_t first = 0, count = 0;  // rows of the group's weight
  };
  std::vector<Projection> projections_;
  std::map<std::string, Place> places_;
};

}  // namespace loraxs::test
