// adapt/methods/lora_xs.h: LoRA-XS: ΔW = scale · b · R · a with a, b from the basis and R [rank, rank] trained.
#pragma once
#include "adapt/method.h"

namespace loraxs {

Method lora_xs();

}  // namespace loraxs
