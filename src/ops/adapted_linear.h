// ops/adapted_linear.h: frozen projections that read one input, joined in one GEMM, with their adapters.
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "ops/frozen_weight.h"
#include "ops/site_adapter.h"

namespace loraxs {

/// [W₁; W₂; …; a₁; a₂; …] in the compute dtype, made once. width = Σ out_features + Σ rank.
struct JoinedProjection {
  size_t group = 0;               // its place in a SiteTable
  FrozenWeight weight;            // [width, in_features]; empty where every slot brings all weights itself
  torch::Tensor bias;             // [width], zero for the rows of a
  int64_t out_features = 0;       // Σ out_features; columns from here on are u's
  std::vector<JoinedSite> sites;  // those that adapters may have
};

/// The adapter of consecutive rows of x.
struct SegmentAdapters {
  int64_t begin = 0;
  int64_t end = 0;
  AdapterRow row;
  std::shared_ptr<const SiteTable> table;  // of the row's layout: one entry per site of each projection

  const SiteParts& parts(const JoinedProjection& projection, size_t site) const {
    return (*table)[projection.group][site];
  }
};

/// y = x Wᵀ + bias + what each slot's adapter adds (ops/site_adapter.h) per site -> [rows, width]; columns from
/// out_features on hold u = x aᵀ of the frozen a. Adapters with an a of their own compute their u from x.
/// The gradient that comes back has the same width; its u columns are this function's own scratch and are overwritten.
/// Backward adds to the rows' gradients and gives dx = [dy | du] · [W; a] plus du · a of trained a. Of the activations
/// only u is kept; x too where a or W is trained. Without autograd nothing is kept.
/// `anchor` is a scalar that requires grad: where x does not (lowest layer), it keeps this node in the graph; dx is
/// then not computed. `rows` as in FrozenWeight::forward. `segments`, ascending and apart from each other, may be null;
/// `projection` must live until backward.
/// With `keys` adapters read x̃, x with the dropout of their site, one mask per site as PEFT has it: u = x̃ aᵀ, dx takes
/// the mask of du a, and masks are drawn again in backward. Without, or at probability 0, nothing of this costs
/// anything.
torch::Tensor adapted_linear(const torch::Tensor& x, const torch::Tensor& anchor, const JoinedProjection& projection,
                             const std::shared_ptr<const std::vector<SegmentAdapters>>& segments,
                             const AnswerRows& rows = {}, const RowKeys& keys = {});

/// LoRA-XS by dense ATen operators for one site and one slot: y = x Wᵀ + bias + scale · (mask ∘ x) aᵀ Rᵀ bᵀ -> [rows,
/// out_features]; `mask` as dropout_mask gives it, or undefined.
torch::Tensor adapted_linear_reference(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias,
                                       const torch::Tensor& a, const torch::Tensor& b, const torch::Tensor& r,
                                       double scale, const torch::Tensor& mask = {});

}  // namespace loraxs
