// model/architectures/llama.h: Llama 1 to 3 (Touvron et al., arXiv 2302.13971 and 2307.09288; arXiv 2407.21783).
#pragma once
#include "model/architecture.h"

namespace loraxs {

/// llama.cpp converts Mistral under this name too, without its window.
Architecture llama();

}  // namespace loraxs
