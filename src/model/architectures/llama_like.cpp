#include "model/architectures/llama_like.h"

#include <algorithm>

#include "io/error.h"
#include "model/rotary_config.h"

namespace loraxs {
namespace {

const std::vector<std::pair<std::string, std::string>>& modules() {
  static const std::vector<std::pair<std::string, std::string>> all = {
      {"query", "self_attn.q_proj"}, {"key", "self_attn.k_proj"},
      {"value", "self_attn.v_proj"}, {"attention_output", "self_attn.o_proj"},
      {"gate", "mlp.gate_proj"},     {"up", "mlp.up_proj"},
      {"down", "mlp.down_proj"}};
  return all;
}

bool has_weight(const ModelConfig& config, const std::string& name) {
  const auto is = [&](const char* end) { return name.ends_with(end); };
  if (name == "lm_head.weight") return !config.tie_word_embeddings;
  if (is(".query_norm.weight") || is(".key_norm.weight")) return config.query_key_norm;
  if (!is(".bias")) return true;
  if (is(".attention_output.bias")) return config.attention_output_bias;
  return is(".gate.bias") || is(".up.bias") || is(".down.bias") ? config.mlp_bias : config.attention_bias;
}

GgufNames gguf_names(const std::string& architecture) {
  const std::vector<std::pair<std::string, std::string>> tensors = {{"attention_norm", "attn_norm"},
                                                                    {"mlp_norm", "ffn_norm"},
                                                                    {"query_norm", "attn_q_norm"},
                                                                    {"key_norm", "attn_k_norm"},
                                                                    {"query", "attn_q"},
                                                                    {"key", "attn_k"},
                                                                    {"value", "attn_v"},
                                                                    {"attention_output", "attn_output"},
                                                                    {"gate", "ffn_gate"},
                                                                    {"up", "ffn_up"},
                                                                    {"down", "ffn_down"}};
  GgufNames names{.architecture = architecture,
                  .config = {{"hidden_size", "embedding_length"},
                             {"intermediate_size", "feed_forward_length"},
                             {"num_hidden_layers", "block_count"},
                             {"num_attention_heads", "attention.head_count"},
                             {"num_key_value_heads", "attention.head_count_kv"},
                             {"max_position_embeddings", "context_length"},
                             {"rms_norm_eps", "attention.layer_norm_rms_epsilon"}},
                  .weights = {{"embeddings.word.weight", "token_embd.weight"},
                              {"norm.weight", "output_norm.weight"},
                              {"lm_head.weight", "output.weight"}}};
  for (const auto& [canonical, gguf] : tensors) {
    for (const std::string kind : {".weight", ".bias"}) {
      if (kind == ".bias" && canonical.ends_with("norm")) continue;
      names.weights.emplace_back("layers.{}." + canonical + kind, "blk.{}." + gguf + kind);
    }
  }
  return names;
}

}  // namespace

ModelConfig parse_llama_like(Fields& fields, const ModelConfig& family) {
  ModelConfig config = family;
  config.vocab_size = fields.positive_int("vocab_size", family.vocab_size, kMostTokens);
  config.hidden_size = fields.positive_int("hidden_size", family.hidden_size, kMostWidth);
  config.intermediate_size = fields.positive_int("intermediate_size", family.intermediate_size, kMostWidth);
  config.num_hidden_layers = fields.positive_int("num_hidden_layers", 32, kMostLayers);
  config.num_attention_heads = fields.positive_int("num_attention_heads", family.num_attention_heads, kMostWidth);
  config.num_key_value_heads = fields.positive_int(
      "num_key_value_heads", family.num_key_value_heads > 0 ? family.num_key_value_heads : config.num_attention_heads,
      kMostWidth);
  if (config.num_attention_heads % config.num_key_value_heads != 0) {
    fields.fail("num_key_value_heads", concat("expected a divisor of num_attention_heads ", config.num_attention_heads,
                                              ", found ", config.num_key_value_heads));
  }
  const int64_t plain_head_dim = std::max<int64_t>(1, config.hidden_size / config.num_attention_heads);
  config.head_dim = fields.positive_int("head_dim", family.head_dim > 0 ? family.head_dim : plain_head_dim, kMostWidth);
  if (config.head_dim % 2 != 0) fields.fail("head_dim", concat("expected an even number, found ", config.head_dim));
  config.max_position_embeddings =
      fields.positive_int("max_position_embeddings", family.max_position_embeddings, kMostPositions);
  config.rotary = parse_rotary(fields, config);
  const bool silu = family.gate == GateActivation::kSilu;
  const std::vector<std::string> activations =
      silu ? std::vector<std::string>{"silu"} : std::vector<std::string>{"gelu_pytorch_tanh", "gelu"};
  config.hidden_act = fields.choice("hidden_act", activations.front(), activations);
  config.norm_eps = fields.positive_number("rms_norm_eps", 1e-6);
  config.attention_dropout = fields.fraction("attention_dropout", 0.0);
  config.initializer_range = fields.non_negative_number("initializer_range", 0.02);
  config.tie_word_embeddings = fields.boolean("tie_word_embeddings", family.tie_word_embeddings);
  return config;
}

std::vector<int64_t> parse_layer_windows(Fields& fields, const ModelConfig& config) {
  const std::vector<std::string> types = fields.strings("layer_types", {});
  if (!types.empty() && static_cast<int64_t>(types.size()) != config.num_hidden_layers) {
    fields.fail("layer_types",
                concat("expected one for each of ", config.num_hidden_layers, " layers, found ", types.size()));
  }
  const int64_t first = fields.non_negative_int("max_window_layers", 28);
  const int64_t window = fields.positive_int("sliding_window", 4096, kMostPositions);
  if (!fields.boolean("use_sliding_window", false)) return {};
  std::vector<int64_t> windows;
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    const bool sliding = types.empty() ? layer >= first : types[layer] == "sliding_attention";
    if (!types.empty() && !sliding && types[layer] != "full_attention") {
      fields.fail("layer_types", concat("expected full_attention or sliding_attention, found ", types[layer]));
    }
    windows.push_back(sliding ? window : 0);
  }
  return windows;
}

Architecture llama_like(const std::string& model_type, ModelConfig (*parse)(Fields&),
                        const std::string& gguf_architecture) {
  std::vector<std::pair<std::string, std::string>> names = {
      {"embeddings.word.weight", "embed_tokens.weight"},
      {"layers.{}.attention_norm.weight", "layers.{}.input_layernorm.weight"},
      {"layers.{}.mlp_norm.weight", "layers.{}.post_attention_layernorm.weight"},
      {"layers.{}.query_norm.weight", "layers.{}.self_attn.q_norm.weight"},
      {"layers.{}.key_norm.weight", "layers.{}.self_attn.k_norm.weight"},
      {"norm.weight", "norm.weight"},
      {"lm_head.weight", "lm_head.weight"}};
  std::vector<std::string> adaptable;
  for (const auto& [canonical, hf] : modules()) {
    adaptable.push_back(canonical);
    for (const std::string kind : {".weight", ".bias"}) {
      names.emplace_back("layers.{}." + canonical + kind, "layers.{}." + hf + kind);
    }
  }
  return {.model_type = model_type,
          .kind = ModelKind::kDecoder,
          .parse_config = parse,
          .weight_names = names,
          .has_weight = has_weight,
          .optional_prefixes = {"model."},
          .modules = adaptable,
          .paper_targets = adaptable,
          .gguf = gguf_names(gguf_architecture)};
}

}  // namespace loraxs
