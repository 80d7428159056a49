#include "model/architectures/distilbert.h"

#include "io/error.h"

namespace loraxs {
namespace {

ModelConfig parse_distilbert_config(Fields& fields) {
  ModelConfig config;
  config.vocab_size = fields.positive_int("vocab_size", 30522, kMostTokens);
  config.hidden_size = fields.positive_int("dim", 768, kMostWidth);
  config.num_hidden_layers = fields.positive_int("n_layers", 6, kMostLayers);
  config.num_attention_heads = fields.positive_int("n_heads", 12, kMostWidth);
  config.num_key_value_heads = config.num_attention_heads;
  if (config.hidden_size % config.num_attention_heads != 0) {
    fields.fail("n_heads",
                concat("expected a divisor of dim ", config.hidden_size, ", found ", config.num_attention_heads));
  }
  config.head_dim = config.hidden_size / config.num_attention_heads;
  config.intermediate_size = fields.positive_int("hidden_dim", 3072, kMostWidth);
  config.max_position_embeddings = fields.positive_int("max_position_embeddings", 512, kMostPositions);
  config.hidden_act = fields.choice("activation", "gelu", {"gelu"});
  config.norm_eps = 1e-12;  // transformers' DistilBERT has no key for it
  config.hidden_dropout = fields.fraction("dropout", 0.1);
  config.attention_dropout = fields.fraction("attention_dropout", 0.1);
  config.classifier_dropout = fields.fraction("seq_classif_dropout", 0.2);
  config.initializer_range = fields.non_negative_number("initializer_range", 0.02);
  return config;
}

}  // namespace

Architecture distilbert() {
  std::vector<std::pair<std::string, std::string>> names = {
      {"embeddings.word.weight", "embeddings.word_embeddings.weight"},
      {"embeddings.position.weight", "embeddings.position_embeddings.weight"},
      {"embeddings.norm.weight", "embeddings.LayerNorm.weight"},
      {"embeddings.norm.bias", "embeddings.LayerNorm.bias"}};
  const std::vector<std::pair<std::string, std::string>> modules = {
      {"query", "attention.q_lin"},        {"key", "attention.k_lin"},
      {"value", "attention.v_lin"},        {"attention_output", "attention.out_lin"},
      {"attention_norm", "sa_layer_norm"}, {"intermediate", "ffn.lin1"},
      {"mlp_output", "ffn.lin2"},          {"mlp_norm", "output_layer_norm"}};
  for (const auto& [canonical, hf] : modules) {
    for (const std::string kind : {".weight", ".bias"}) {
      names.emplace_back("layers.{}." + canonical + kind, "transformer.layer.{}." + hf + kind);
    }
  }
  names.emplace_back("head.dense.weight", "pre_classifier.weight");
  names.emplace_back("head.dense.bias", "pre_classifier.bias");
  return {.model_type = "distilbert",
          .parse_config = parse_distilbert_config,
          .known_keys = {{"sinusoidal_pos_embds"},  // how the table began; the checkpoint brings it
                         {"tie_weights_"}},
          .weight_names = names,
          .optional_prefixes = {"distilbert."},
          .optional_weights = {"head.dense.weight", "head.dense.bias"},
          .modules = {"query", "key", "value", "attention_output", "intermediate", "mlp_output"},
          .paper_targets = {"query", "value", "attention_output", "mlp_output"},
          .head = {.model_class = "DistilBertForSequenceClassification",
                   .dense = "head.dense",
                   .dense_hf = "pre_classifier",
                   .output_hf = "classifier",
                   .dense_saved = "pre_classifier",
                   .activation = "relu"}};
}

}  // namespace loraxs
