#include "model/architectures/qwen2.h"

#include "model/architectures/llama_like.h"

namespace loraxs {
namespace {

ModelConfig parse_qwen2_config(Fields& fields) {
  ModelConfig config = parse_llama_like(fields, {.vocab_size = 151936,
                                                 .hidden_size = 4096,
                                                 .num_attention_heads = 32,
                                                 .num_key_value_heads = 32,
                                                 .intermediate_size = 22016,
                                                 .max_position_embeddings = 32768});
  config.attention_bias = true;
  config.windows = parse_layer_windows(fields, config);
  return config;
}

}  // namespace

Architecture qwen2() {
  Architecture architecture = llama_like("qwen2", parse_qwen2_config, "qwen2");
  architecture.known_keys = {{"attention_bias"},  // query, key and value have biases, whatever it says
                             {"use_mrope", "[false]"}};
  return architecture;
}

}  // namespace loraxs
