// model/projection_hook.h: where adapters plug into a model. The model knows nothing of them.
#pragma once
#include <torch/types.h>

#include <vector>

#include "model/site.h"

namespace loraxs {

/// Projections that read the same input and are computed as one GEMM.
struct ProjectionGroup {
  std::vector<Site> sites;
  std::vector<int64_t> columns;  // where each site's output starts in the group's wide output
  int64_t out_features = 0;      // Σ out_features
};

ProjectionGroup make_projection_group(std::vector<Site> sites);

enum class RowKind { kTokens, kSequences };  // what a row of x is: decides which slots' segments apply

class ProjectionHook {
 public:
  virtual ~ProjectionHook() = default;
  /// x [rows, in_features] -> [rows, width ≥ out_features], bias included; further columns are the hook's own.
  virtual torch::Tensor project(size_t group, const torch::Tensor& x, RowKind rows) = 0;
};

}  // namespace loraxs
