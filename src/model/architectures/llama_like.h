// model/architectures/llama_like.h: what Llama and its heirs share: config, names of weights, places for adapters.
#pragma once
#include "model/architecture.h"

namespace loraxs {

/// Reads what all of them write into config.json. `family` has the values of keys that are absent; num_key_value_heads
/// and head_dim 0 there stand for as many as heads, and for hidden / heads. Throws Error.
ModelConfig parse_llama_like(Fields& fields, const ModelConfig& family);

/// Windows of a family with `use_sliding_window`: those of the layers that layer_types calls sliding_attention, or of
/// all from max_window_layers on (Qwen2Config in transformers 5). Empty: none.
std::vector<int64_t> parse_layer_windows(Fields& fields, const ModelConfig& config);

/// A decoder with `parse` for its config, adaptable in seven projections a layer as the paper adapts them. Which
/// biases and norms there are, the config says. `gguf_architecture`: as GgufNames has it.
Architecture llama_like(const std::string& model_type, ModelConfig (*parse)(Fields&),
                        const std::string& gguf_architecture);

}  // namespace loraxs
