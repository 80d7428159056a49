#include "model/architectures/mistral.h"

#include "model/architectures/llama_like.h"

namespace loraxs {
namespace {

constexpr int64_t kDefaultWindow = 4096;  // of a config.json without the key; null means no window

ModelConfig parse_mistral_config(Fields& fields) {
  ModelConfig config = parse_llama_like(fields, {.vocab_size = 32000,
                                                 .hidden_size = 4096,
                                                 .num_attention_heads = 32,
                                                 .num_key_value_heads = 8,
                                                 .intermediate_size = 14336,
                                                 .max_position_embeddings = 131072});
  if (fields.is_null("sliding_window")) return config;
  config.windows.assign(config.num_hidden_layers,
                        fields.positive_int("sliding_window", kDefaultWindow, kMostPositions));
  return config;
}

}  // namespace

Architecture mistral() { return llama_like("mistral", parse_mistral_config, ""); }

}  // namespace loraxs
