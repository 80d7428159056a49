// adapt/spectral_part.h: what of a weight, or of what training did to it, some of the weight's singular vectors hold.
#pragma once
#include <torch/types.h>

#include <string>

#include "adapt/svd.h"

namespace loraxs {

/// `share` of the singular triples of one weight, at least one: the top, the middle or the bottom ones, without a gap.
struct SpectralPart {
  std::string vectors = "top";  // top | middle | bottom
  double share = 1;             // above 0, at most 1
};

/// First and one past the last index of the part among `count` triples, largest first.
struct TripleRange {
  int64_t begin = 0, end = 0;
};
TripleRange triples_of(const SpectralPart& part, int64_t count);

/// U_I Σ_I V_Iᵀ: the weight with the other triples at 0 -> [out_features, in_features] float64 (paper, appendix D).
torch::Tensor kept_part(const SingularTriples& triples, const SpectralPart& part);

/// U_I U_Iᵀ Δ V_I V_Iᵀ -> [out_features, in_features] float64: the projection of `delta` on the span of the part's
/// vectors (paper, appendix E). With all triples it is `delta` itself, also where the weight is not square and its
/// vectors span less than the whole space on one side.
torch::Tensor projected_delta(const SingularTriples& triples, const SpectralPart& part, const torch::Tensor& delta);

}  // namespace loraxs
