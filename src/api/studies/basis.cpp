// Whether another basis than W's own singular vectors does better, at three ranks: LoRA-SB's, from the task's gradient,
// and that of W weighted by what it reads of the task's texts.
#include "api/studies/arms.h"
#include "io/error.h"

namespace loraxs {

Comparison basis_comparison(const StudyRequest& request) {
  Comparison comparison;
  const std::vector<int> ranks = request.quick ? std::vector<int>{4, 8} : std::vector<int>{4, 16, 64};
  for (const int rank : ranks) {
    comparison.arms.push_back({concat("W, r = ", rank), {concat("method.rank=", rank)}, "W"});
    comparison.arms.push_back({concat("task gradient, r = ", rank),
                               {"method.name=lora_sb", "method.init_std=null", concat("method.rank=", rank)},
                               "task gradient",
                               concat("W, r = ", rank)});
    comparison.arms.push_back({concat("W on the task's texts, r = ", rank),
                               {concat("method.rank=", rank), "method.basis.variant=inputs"},
                               "W on the task's texts",
                               concat("W, r = ", rank)});
  }
  return comparison;
}

}  // namespace loraxs
