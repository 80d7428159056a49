#include "adapt/methods/lora_sb.h"

#include "adapt/methods/lora_xs.h"

namespace loraxs {

Method lora_sb() {
  Method method = lora_xs();
  method.name = "lora_sb";
  method.meaning = "R between singular vectors of the task's gradient";
  method.traits.basis = "gradient";
  method.keys = {"budget", "rank", "dropout", "alpha", "rank_pattern", "gradient_examples"};
  // R starts at 0; a run puts the singular values of its gradient there (train/gradient_start.h).
  method.initialize = [](const Layout&, std::span<float>, const MethodStart&) {};
  return method;
}

}  // namespace loraxs
