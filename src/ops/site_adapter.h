// ops/site_adapter.h: what one slot adds to one projection, whichever method it comes from.
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <vector>

#include "ops/dropout.h"
#include "ops/row_tensor.h"

namespace loraxs {

/// One adapted projection inside a joined one, with its frozen pair a, b where some adapter uses it.
struct JoinedSite {
  int64_t column = 0;  // where its output starts in the wide output
  int64_t out_features = 0;
  int64_t u_column = 0;        // where u = x aᵀ starts in the wide output
  int64_t rank = 0;            // rows of a in the wide weight: the largest rank in use; smaller adapters use the prefix
  torch::Tensor b;             // [out_features, rank] float32 (float64 in tests); undefined for rank 0, forward alone
  torch::Tensor b_transposed;  // [rank, out_features], contiguous; bfloat16 beside small integers
  Dropout dropout;             // of what the adapter reads, in training
  torch::Tensor a;             // [rank, in_features] as b, where that dropout is on: then u is no part of the wide GEMM
};

/// Which of these tensors a layout keeps of one site, and where in its rows: found once per layout.
struct SiteParts {
  RowPart r, d, v, a, b, g, weight, bias;
  torch::Tensor projections;  // as SiteAdapter::projections
  int64_t rank = 0;
  double divisor = 0;  // scale = alpha / divisor; 0: the scale is 1

  /// Whether rows hold anything of the site.
  bool defined() const { return r.defined() || d.defined() || v.defined() || a.defined() || weight.defined(); }
  bool replaces() const { return weight.defined(); }
  /// Only r stands in the row: slots of one projection share both products with a and b.
  bool only_r() const { return r.defined() && !a.defined() && !b.defined() && !g.defined(); }
  double scale(double alpha) const { return divisor == 0 ? 1 : alpha / divisor; }
};

/// Per joined projection, the parts of its sites in the projection's order.
using SiteTable = std::vector<std::vector<SiteParts>>;

/// y = x Wᵀ + bias + scale · g ∘ (core(x̃ aᵀ) bᵀ), x̃ = x, or x with dropout in training. A part is trained, in the
/// slot's row, or frozen, the projection's own, or absent:
///
///   LoRA-XS   a, b frozen; r            LoRA, PiSSA  a, b trained
///   VeRA      a, b frozen; d, g         AdaLoRA      a, b trained; d
///   TinyLoRA  a, b frozen; v            Tied-LoRA    a, b trained, the same for all layers; d, g
///   full fine-tuning  weight and bias in place of W and its bias
struct SiteAdapter {
  RowTensor r;                // [rank, rank]: core(u) = u rᵀ
  double scale = 1;           // alpha / rank in most methods
  RowTensor d;                // [rank]: core(u) = u ∘ d
  RowTensor v;                // [vectors]: core(u) = u Rᵀ with R = Σ v_k P_k
  torch::Tensor projections;  // [vectors, rank, rank] P, frozen
  RowTensor a;                // [rank, in_features]
  RowTensor b;                // [out_features, rank]
  RowTensor g;                // [out_features]
  RowTensor weight, bias;     // [out_features, in_features], [out_features]

  SiteAdapter() = default;
  /// Views into `row`.
  SiteAdapter(const SiteParts& parts, const AdapterRow& row);

  bool replaces() const { return weight.defined(); }
  int64_t rank() const { return rank_; }
  /// Whether backward needs the rows of x.
  bool trains_from_input() const { return a.trains() || weight.trains(); }
  bool trains() const;

 private:
  int64_t rank_ = 0;
};

/// a [rank, in_features]: the slot's own, else the frozen one of `site`.
torch::Tensor input_factor(const SiteAdapter& adapter, const JoinedSite& site);

/// u = x aᵀ with that a -> [rows, rank] float32 (float64).
torch::Tensor site_input(const SiteAdapter& adapter, const JoinedSite& site, const torch::Tensor& x);

/// y += scale · g ∘ (core(u) bᵀ); y [rows, out_features] is the site's part of the wide output.
void add_site_output_(const torch::Tensor& y, const torch::Tensor& u, const JoinedSite& site,
                      const SiteAdapter& adapter);

/// Given dy [rows, out_features] and u: adds the gradients of r, d, v, b and g to the row; then writes the gradient of
/// u into `du` [rows, rank], if that is defined.
void site_backward_(const torch::Tensor& du, const torch::Tensor& dy, const torch::Tensor& u, const JoinedSite& site,
                    const SiteAdapter& adapter);

/// The same as a matrix: scale · diag(g) b core a -> [out_features, in_features] in `dtype`, what merging adds to W.
/// The frozen pair is read where the adapter brings none.
torch::Tensor site_update(const SiteAdapter& adapter, const torch::Tensor& frozen_a, const torch::Tensor& frozen_b,
                          torch::ScalarType dtype);
/// Its left factor: scale · diag(g) b core -> [out_features, rank], so that the update is factor · a.
torch::Tensor site_left_factor(const SiteAdapter& adapter, const torch::Tensor& frozen_b, torch::ScalarType dtype);

}  // namespace loraxs
