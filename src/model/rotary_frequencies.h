// model/rotary_frequencies.h: how fast each pair of a head turns with the position.
#pragma once
#include <torch/types.h>

#include "model/config.h"

namespace loraxs {

/// [head_dim / 2] float32, operation by operation as transformers 5.23 (modeling_rope_utils.py) computes them: their
/// float32 rounding is part of the model. `long_text`: of a text beyond the original length, where longrope has others.
/// Dynamic scaling stretches nothing up to max_position_embeddings, beyond which no text of ours goes: transformers
/// then rotates new keys otherwise than those in its cache.
torch::Tensor rotary_frequencies(const RotaryConfig& rotary, int64_t head_dim, bool long_text = false);

}  // namespace loraxs
