#include "model/architectures/llama.h"

#include "model/architectures/llama_like.h"

namespace loraxs {
namespace {

ModelConfig parse_llama_config(Fields& fields) {
  ModelConfig config = parse_llama_like(fields, {.vocab_size = 32000,
                                                 .hidden_size = 4096,
                                                 .num_attention_heads = 32,
                                                 .intermediate_size = 11008,
                                                 .max_position_embeddings = 2048});
  config.attention_bias = config.attention_output_bias = fields.boolean("attention_bias", false);
  config.mlp_bias = fields.boolean("mlp_bias", false);
  return config;
}

}  // namespace

Architecture llama() {
  Architecture architecture = llama_like("llama", parse_llama_config, "llama");
  architecture.gguf.interleaved = {"query", "key"};
  return architecture;
}

}  // namespace loraxs
