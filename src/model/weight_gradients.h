// model/weight_gradients.h: the full gradient of every projection's weight, of a model that nothing adapts.
#pragma once
#include <torch/types.h>

#include <map>
#include <string>
#include <vector>

#include "model/base_model.h"
#include "model/projection_hook.h"

namespace loraxs {

/// A hook that leaves the forward as it is and sums ∂loss/∂W over all backward passes: for measuring, not for training.
/// Takes as much memory as the weights, twice.
class WeightGradients final : public ProjectionHook {
 public:
  WeightGradients(const BaseModel& model, const std::vector<ProjectionGroup>& groups, torch::ScalarType dtype);

  torch::Tensor project(size_t group, const torch::Tensor& x, RowKind rows) override;
  bool trains(size_t) const override { return true; }

  /// [out_features, in_features] of a site, in the dtype of the forward; zero before the first backward.
  torch::Tensor gradient(const std::string& site) const;

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

}  // namespace loraxs
