// adapt/methods/pissa.h: PiSSA (Meng et al., arXiv 2404.02948): LoRA on what the leading singular triples leave of W.
#pragma once
#include "adapt/method.h"

namespace loraxs {

Method pissa();

}  // namespace loraxs
