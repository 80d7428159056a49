// §5: about one number of trained parameters, spent on fewer ranks of more modules or on more ranks of fewer.
#include "api/studies/arms.h"

namespace loraxs {

Comparison budget_comparison(const StudyRequest&) {
  return {.arms = {{"query alone, r = 32", {"method.targets=[query]", "method.rank=32"}},
                   {"query and value, r = 22", {"method.targets=[query,value]", "method.rank=22"}},
                   {"the paper's modules, r = 16", {"method.targets=[paper]", "method.rank=16"}},
                   {"all projections, r = 13", {"method.targets=[all-linear]", "method.rank=13"}}},
          .references = {"query alone, r = 32"}};
}

}  // namespace loraxs
