// adapt/methods/lora_sb.h: LoRA-SB (Ponkshe et al., arXiv 2411.19557): LoRA-XS whose basis and start come from the
// task's gradient instead of the weight.
#pragma once
#include "adapt/method.h"

namespace loraxs {

Method lora_sb();

}  // namespace loraxs
