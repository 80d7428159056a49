// adapt/methods/lora.h: LoRA (Hu et al., arXiv 2106.09685): ΔW = scale · b a, both trained.
#pragma once
#include "adapt/method.h"

namespace loraxs {

Method lora();

}  // namespace loraxs
