#include "model/architectures/qwen3.h"

#include "model/architectures/llama_like.h"

namespace loraxs {
namespace {

ModelConfig parse_qwen3_config(Fields& fields) {
  ModelConfig config = parse_llama_like(fields, {.vocab_size = 151936,
                                                 .hidden_size = 4096,
                                                 .num_attention_heads = 32,
                                                 .num_key_value_heads = 32,
                                                 .head_dim = 128,
                                                 .intermediate_size = 22016,
                                                 .max_position_embeddings = 32768,
                                                 .query_key_norm = true});
  config.attention_bias = config.attention_output_bias = fields.boolean("attention_bias", false);
  config.windows = parse_layer_windows(fields, config);
  return config;
}

}  // namespace

Architecture qwen3() { return llama_like("qwen3", parse_qwen3_config, "qwen3"); }

}  // namespace loraxs
