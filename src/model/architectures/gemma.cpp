#include "model/architectures/gemma.h"

#include <cmath>

#include "model/architectures/llama_like.h"

namespace loraxs {
namespace {

ModelConfig parse_gemma_config(Fields& fields) {
  ModelConfig config = parse_llama_like(fields, {.vocab_size = 256000,
                                                 .hidden_size = 3072,
                                                 .num_attention_heads = 16,
                                                 .num_key_value_heads = 16,
                                                 .head_dim = 256,
                                                 .intermediate_size = 24576,
                                                 .max_position_embeddings = 8192,
                                                 .hidden_act = "gelu_pytorch_tanh",
                                                 .gate = GateActivation::kGeluTanh,
                                                 .tie_word_embeddings = true});
  // Older files say gelu and mean this all the same (GemmaConfig in transformers 5).
  config.hidden_act = "gelu_pytorch_tanh";
  config.embedding_scale = std::sqrt(static_cast<double>(config.hidden_size));
  config.norm_offset = 1;
  if (fields.boolean("attention_bias", false)) fields.fail("attention_bias", "expected false, found true");
  if (fields.boolean("use_bidirectional_attention", false)) {
    fields.fail("use_bidirectional_attention", "expected false, found true; only text generators are supported");
  }
  return config;
}

}  // namespace

Architecture gemma() {
  Architecture architecture = llama_like("gemma", parse_gemma_config, "gemma");
  architecture.known_keys = {{"hidden_activation", R"(["gelu_pytorch_tanh", "gelu"])"}};
  return architecture;
}

}  // namespace loraxs
