// Tables 2 and 3: a language model's loss on held-out answers, beside LoRA and full fine-tuning.
#include "api/studies/arms.h"
#include "io/error.h"

namespace loraxs {

Comparison instruct_comparison(const StudyRequest&) {
  Comparison comparison{
      .arms = {{"LoRA r = 64",
                {"method={name: lora, rank: 64, alpha: 64, targets: all-linear}", "train.learning_rate=[1e-4,4e-4]"}},
               {"full fine-tuning", {"method={name: full, targets: all-linear}", "train.learning_rate=[1e-5,4e-5]"}}},
      .references = {"LoRA r = 64", "full fine-tuning"}};
  for (const int rank : {16, 32, 64}) {
    comparison.arms.push_back(
        {concat("LoRA-XS r = ", rank), {concat("method.rank=", rank), concat("method.alpha=", rank)}, "LoRA-XS"});
  }
  return comparison;
}

}  // namespace loraxs
