// model/architectures/qwen3.h: Qwen3 (Yang et al., arXiv 2505.09388): Llama with a norm on every query and key head.
#pragma once
#include "model/architecture.h"

namespace loraxs {

Architecture qwen3();

}  // namespace loraxs
