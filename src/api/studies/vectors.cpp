// Appendix G: which singular vectors of W make the basis, everything else equal.
#include "api/studies/arms.h"

namespace loraxs {

Comparison vectors_comparison(const StudyRequest&) {
  return {.arms = {{"top", {"method.rank=4", "method.basis.vectors=top"}},
                   {"middle", {"method.rank=4", "method.basis.vectors=middle"}},
                   {"bottom", {"method.rank=4", "method.basis.vectors=bottom"}}},
          .references = {"top"}};
}

}  // namespace loraxs
