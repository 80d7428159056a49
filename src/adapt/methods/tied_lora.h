// adapt/methods/tied_lora.h: Tied-LoRA (Renduchintala et al., arXiv 2311.09578): a, b shared by all layers, scaled per
// layer.
#pragma once
#include "adapt/method.h"

namespace loraxs {

Method tied_lora();

}  // namespace loraxs
