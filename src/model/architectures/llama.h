// model/architectures/llama.h: Llama (Touvron et al., arXiv 2302.13971) with grouped heads, and what its heirs share.
#pragma once
#include "model/architecture.h"

namespace loraxs {

Architecture llama();

}  // namespace loraxs
