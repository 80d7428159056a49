#include "adapt/spectral_part.h"

#include <algorithm>
#include <cmath>

namespace loraxs {

TripleRange triples_of(const SpectralPart& part, int64_t count) {
  TORCH_CHECK(part.share > 0 && part.share <= 1, "spectral part: expected a share in (0, 1], found ", part.share);
  const int64_t kept = std::clamp<int64_t>(std::llround(part.share * static_cast<double>(count)), 1, count);
  int64_t begin = 0;
  if (part.vectors == "bottom") {
    begin = count - kept;
  } else if (part.vectors == "middle") {
    begin = (count - kept) / 2;
  } else {
    TORCH_CHECK(part.vectors == "top", "spectral part: expected top, middle or bottom, found ", part.vectors);
  }
  return {begin, begin + kept};
}

torch::Tensor kept_part(const SingularTriples& triples, const SpectralPart& part) {
  const TripleRange range = triples_of(part, triples.s.size(0));
  const torch::Tensor u = triples.u.slice(1, range.begin, range.end);  // [out, kept]
  const torch::Tensor v = triples.v.slice(1, range.begin, range.end);  // [in, kept]
  return (u * triples.s.slice(0, range.begin, range.end)).matmul(v.t());
}

torch::Tensor projected_delta(const SingularTriples& triples, const SpectralPart& part, const torch::Tensor& delta) {
  const TripleRange range = triples_of(part, triples.s.size(0));
  const torch::Tensor wide = delta.to(torch::kFloat64);
  if (range.end - range.begin == triples.s.size(0)) {
    return wide.clone();
  }
  const torch::Tensor u = triples.u.slice(1, range.begin, range.end);
  const torch::Tensor v = triples.v.slice(1, range.begin, range.end);
  return u.matmul(u.t().matmul(wide).matmul(v)).matmul(v.t());
}

}  // namespace loraxs
