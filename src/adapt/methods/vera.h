// adapt/methods/vera.h: VeRA (Kopiczko et al., arXiv 2310.11454): ΔW = diag(g) b diag(d) a with one frozen random pair
// a, b.
#pragma once
#include "adapt/method.h"

namespace loraxs {

Method vera();

}  // namespace loraxs
