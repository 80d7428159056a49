// model/projection_hook.h: where adapters plug into a model. The model knows nothing of them.
#pragma once
#include <torch/types.h>

#include <string>
#include <vector>

#include "model/site.h"

namespace loraxs {

/// Projections that read the same input and are computed as one GEMM.
struct ProjectionGroup {
  std::vector<Site> sites;
  std::vector<int64_t> columns;  // where each site's output starts in the group's wide output
  int64_t out_features = 0;      // Σ out_features
};

/// The group of one layer's `modules`, in that order; `sites` are the model's. TORCH_CHECKs that they are there.
ProjectionGroup make_projection_group(const std::vector<Site>& sites, int64_t layer,
                                      const std::vector<std::string>& modules);

enum class RowKind { kTokens, kAsked };  // what a row of x is: decides which slots' segments apply

/// Reentrant: layers that are computed again ask it in backward too.
class ProjectionHook {
 public:
  virtual ~ProjectionHook() = default;
  /// x [rows, in_features] -> [rows, width ≥ out_features], bias included; further columns are the hook's own.
  virtual torch::Tensor project(size_t group, const torch::Tensor& x, RowKind rows) const = 0;
  /// Whether this batch trains something in the group.
  virtual bool trains(size_t group) const = 0;
};

}  // namespace loraxs
