// model/architectures/mistral.h: Mistral 7B (Jiang et al., arXiv 2310.06825): Llama whose tokens see a window.
#pragma once
#include "model/architecture.h"

namespace loraxs {

/// Without GGUF names: llama.cpp converts it as "llama".
Architecture mistral();

}  // namespace loraxs
