// Appendix H: a = Σ_r U_rᵀ or a = U_rᵀ, with a grid of rates for each: without Σ a step changes W otherwise (T12).
#include "api/studies/arms.h"

namespace loraxs {

Comparison sigma_comparison(const StudyRequest&) {
  return {
      .arms = {{"with sigma", {"method.rank=4", "method.basis.sigma=true"}},
               {"without sigma", {"method.rank=4", "method.basis.sigma=false", "train.learning_rate=[4e-3,1.6e-2]"}}},
      .references = {"with sigma"}};
}

}  // namespace loraxs
