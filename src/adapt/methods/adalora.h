// adapt/methods/adalora.h: AdaLoRA (Zhang et al., arXiv 2303.10512): ΔW = scale · b diag(d) a, triples pruned to a
// budget.
#pragma once
#include "adapt/method.h"

namespace loraxs {

Method adalora();

}  // namespace loraxs
