// Table 1: LoRA-XS of six ranks beside LoRA, VeRA, full fine-tuning and the head alone. Rates are two for each.
#include "api/studies/arms.h"
#include "io/error.h"

namespace loraxs {

Arm lora_arm() {
  return {.name = "LoRA r = 8",
          .changes = {"method={name: lora, rank: 8, targets: [query, value]}", "train.learning_rate=[2e-3,5e-3]"}};
}

Arm full_arm() {
  return {.name = "full fine-tuning",
          .changes = {"method={name: full, targets: all-linear}", "train.learning_rate=[5e-5,2e-4]"}};
}

Comparison glue_comparison(const StudyRequest&) {
  Comparison comparison{
      .arms = {lora_arm(),
               {"VeRA r = 256",
                {"method={name: vera, rank: 256, targets: [query, value]}", "train.learning_rate=[1e-2,3e-2]"}},
               full_arm(),
               {"head alone",
                {"method.train_sites=false", "train.learning_rate=[1e-3]", "train.head_learning_rate=[1e-3,5e-3]"}}},
      .references = {"LoRA r = 8", "VeRA r = 256", "full fine-tuning", "head alone"},
      .best_epoch = true};
  for (const int rank : {16, 4, 25, 8, 12, 20}) {
    comparison.arms.push_back({concat("LoRA-XS r = ", rank), {concat("method.rank=", rank)}, "LoRA-XS"});
  }
  return comparison;
}

}  // namespace loraxs
