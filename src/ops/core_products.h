// ops/core_products.h: what R adds to a joined projection, for all its sites and all slots of a batch in one parallel
// region, and the way back.
#pragma once
#include <torch/types.h>

#include <memory>
#include <span>
#include <vector>

#include "ops/alongside.h"
#include "ops/site_adapter.h"

namespace loraxs {

struct JoinedProjection;
struct SegmentAdapters;

/// One site's R for consecutive rows.
struct CorePiece {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t rank = 0;
  const float* r = nullptr;  // [rank, rank]
  float* dr = nullptr;       // its gradient; null: not trained
  float scale = 1;
};

/// Rows of neighbouring pieces that have one rank: one product with b.
struct CoreRun {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t rank = 0;
};

/// A site whose slots bring R alone.
struct CoreSite {
  const JoinedSite* site = nullptr;
  std::vector<CorePiece> pieces;  // ascending, apart from each other
  std::vector<CoreRun> runs;
};

/// The sites and slots of a call that these products serve: parts that hold only R, float32 rows on the CPU.
std::vector<CoreSite> core_sites(const JoinedProjection& projection, const std::vector<SegmentAdapters>& segments);

/// y += scale · (u Rᵀ) bᵀ per site, u = the site's u columns of y [rows, width], float32 or bfloat16 on the CPU. Sums
/// in float32; every element of u Rᵀ is one chain of additions over the rank in order, every element of y another that
/// starts at y: a row's bits do not depend on how many rows, slots or sites there are beside it.
void add_core_outputs_(const torch::Tensor& y, std::span<const CoreSite> sites);

/// The same, with the same bits, while y [rows, width], float32, is being made: sites and y must outlive it.
class CoreOutputs {
 public:
  CoreOutputs(const torch::Tensor& y, std::span<const CoreSite> sites);
  Alongside alongside();

 private:
  std::span<const CoreSite> sites_;
  float* y_;
  int64_t stride_ = 0, width_ = 0;  // of y; of z: Σ rank
  std::unique_ptr<float[]> z_;      // [rows, width] scale · u Rᵀ, site by site; of rows with a piece
};

/// Given dy [rows, width] and u [rows, Σ rank] (the u columns of y): adds dR = (scale · dy b)ᵀ u to the gradients and
/// with `needs_du` writes du = scale · dy b R into the u columns of dy. A gradient's chain of additions goes over its
/// row's tokens in order, whoever shares the batch.
void core_backward_(const torch::Tensor& dy, const torch::Tensor& u, int64_t out_features,
                    std::span<const CoreSite> sites, bool needs_du);

}  // namespace loraxs
