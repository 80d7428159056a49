#include "model/architectures/llama.h"

#include <algorithm>

#include "io/error.h"

namespace loraxs {
namespace {

/// transformers 5 writes rope_parameters with theta inside, older ones rope_theta and rope_scaling.
RotaryConfig parse_rotary(Fields& fields, int64_t max_positions) {
  RotaryConfig rotary;
  const bool joined = fields.has("rope_parameters");
  const double theta = fields.positive_number("rope_theta", 10000.0);
  Fields scaling = fields.object(joined ? "rope_parameters" : "rope_scaling");
  scaling.ignore_unknown();
  rotary.theta = scaling.positive_number("rope_theta", theta);
  const std::vector<std::string> known = {"default", "linear", "llama3"};
  rotary.scaling = scaling.choice(scaling.has("rope_type") ? "rope_type" : "type", "default", known);
  if (rotary.scaling == "default") return rotary;
  rotary.factor = scaling.positive_number("factor", 1.0);
  if (rotary.scaling == "linear") return rotary;
  rotary.low_freq_factor = scaling.positive_number("low_freq_factor", 1.0);
  rotary.high_freq_factor = scaling.positive_number("high_freq_factor", 4.0);
  if (!(rotary.high_freq_factor > rotary.low_freq_factor)) {
    scaling.fail("high_freq_factor", concat("expected more than low_freq_factor ", rotary.low_freq_factor, ", found ",
                                            rotary.high_freq_factor));
  }
  rotary.original_max_position_embeddings = scaling.positive_int("original_max_position_embeddings", max_positions);
  return rotary;
}

ModelConfig parse_config(Fields& fields) {
  ModelConfig config;
  config.vocab_size = fields.positive_int("vocab_size", 32000);
  config.hidden_size = fields.positive_int("hidden_size", 4096);
  config.intermediate_size = fields.positive_int("intermediate_size", 11008);
  config.num_hidden_layers = fields.positive_int("num_hidden_layers", 32);
  config.num_attention_heads = fields.positive_int("num_attention_heads", 32);
  config.num_key_value_heads = fields.positive_int("num_key_value_heads", config.num_attention_heads);
  if (config.num_attention_heads % config.num_key_value_heads != 0) {
    fields.fail("num_key_value_heads", concat("expected a divisor of num_attention_heads ", config.num_attention_heads,
                                              ", found ", config.num_key_value_heads));
  }
  config.head_dim =
      fields.positive_int("head_dim", std::max<int64_t>(1, config.hidden_size / config.num_attention_heads));
  if (config.head_dim % 2 != 0) fields.fail("head_dim", concat("expected an even number, found ", config.head_dim));
  config.max_position_embeddings = fields.positive_int("max_position_embeddings", 2048);
  config.rotary = parse_rotary(fields, config.max_position_embeddings);
  config.hidden_act = fields.choice("hidden_act", "silu", {"silu"});
  config.norm_eps = fields.positive_number("rms_norm_eps", 1e-6);
  config.attention_dropout = fields.fraction("attention_dropout", 0.0);
  config.initializer_range = fields.non_negative_number("initializer_range", 0.02);
  config.tie_word_embeddings = fields.boolean("tie_word_embeddings", false);
  config.attention_bias = fields.boolean("attention_bias", false);
  config.mlp_bias = fields.boolean("mlp_bias", false);
  return config;
}

const std::vector<std::pair<std::string, std::string>>& modules() {
  static const std::vector<std::pair<std::string, std::string>> all = {
      {"query", "self_attn.q_proj"}, {"key", "self_attn.k_proj"},
      {"value", "self_attn.v_proj"}, {"attention_output", "self_attn.o_proj"},
      {"gate", "mlp.gate_proj"},     {"up", "mlp.up_proj"},
      {"down", "mlp.down_proj"}};
  return all;
}

bool has_weight(const ModelConfig& config, const std::string& name) {
  if (name == "lm_head.weight") return !config.tie_word_embeddings;
  if (!name.ends_with(".bias")) return true;
  const bool is_mlp = name.ends_with(".gate.bias") || name.ends_with(".up.bias") || name.ends_with(".down.bias");
  return is_mlp ? config.mlp_bias : config.attention_bias;
}

}  // namespace

Architecture llama() {
  std::vector<std::pair<std::string, std::string>> names = {
      {"embeddings.word.weight", "embed_tokens.weight"},
      {"layers.{}.attention_norm.weight", "layers.{}.input_layernorm.weight"},
      {"layers.{}.mlp_norm.weight", "layers.{}.post_attention_layernorm.weight"},
      {"norm.weight", "norm.weight"},
      {"lm_head.weight", "lm_head.weight"}};
  std::vector<std::string> adaptable;
  for (const auto& [canonical, hf] : modules()) {
    adaptable.push_back(canonical);
    for (const std::string kind : {".weight", ".bias"}) {
      names.emplace_back("layers.{}." + canonical + kind, "layers.{}." + hf + kind);
    }
  }
  return {.model_type = "llama",
          .kind = ModelKind::kDecoder,
          .parse_config = parse_config,
          .weight_names = names,
          .has_weight = has_weight,
          .optional_prefixes = {"model."},
          .modules = adaptable,
          .paper_targets = adaptable};
}

}  // namespace loraxs
