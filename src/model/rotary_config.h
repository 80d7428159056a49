// model/rotary_config.h: how config.json says that positions are rotated.
#pragma once
#include "io/fields.h"
#include "model/config.h"

namespace loraxs {

/// transformers 5 writes rope_parameters with theta inside, older ones rope_theta and rope_scaling; where both stand,
/// rope_scaling counts, as there (RotaryEmbeddingConfigMixin of transformers 5.23). `config` has head_dim and
/// max_position_embeddings. Throws Error for another type than default, linear, dynamic, yarn, longrope and llama3, and
/// for what its type lacks.
RotaryConfig parse_rotary(Fields& fields, const ModelConfig& config);

}  // namespace loraxs
