// model/architectures/qwen2.h: Qwen2 and 2.5 (Yang et al., arXiv 2407.10671): Llama with biases on query, key and
// value.
#pragma once
#include "model/architecture.h"

namespace loraxs {

Architecture qwen2();

}  // namespace loraxs
