// adapt/methods/tiny_lora.h: TinyLoRA: LoRA-XS with R = Σ v_k P_k, P fixed and random, v trained, for one site or for
// all.
#pragma once
#include "adapt/method.h"

namespace loraxs {

Method tiny_lora();

}  // namespace loraxs
