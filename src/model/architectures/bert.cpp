#include "model/architectures/bert.h"

#include "io/error.h"

namespace loraxs {

ModelConfig parse_bert_config(Fields& fields) {
  ModelConfig config;
  config.vocab_size = fields.positive_int("vocab_size", 30522, kMostTokens);
  config.hidden_size = fields.positive_int("hidden_size", 768, kMostWidth);
  config.num_hidden_layers = fields.positive_int("num_hidden_layers", 12, kMostLayers);
  config.num_attention_heads = fields.positive_int("num_attention_heads", 12, kMostWidth);
  config.num_key_value_heads = config.num_attention_heads;
  if (config.hidden_size % config.num_attention_heads != 0) {
    fields.fail("num_attention_heads", concat("expected a divisor of hidden_size ", config.hidden_size, ", found ",
                                              config.num_attention_heads));
  }
  config.head_dim = config.hidden_size / config.num_attention_heads;
  config.intermediate_size = fields.positive_int("intermediate_size", 3072, kMostWidth);
  config.max_position_embeddings = fields.positive_int("max_position_embeddings", 512, kMostPositions);
  config.type_vocab_size = fields.positive_int("type_vocab_size", 2, kMostTokens);
  config.hidden_act = fields.choice("hidden_act", "gelu", {"gelu", "gelu_python"});
  config.hidden_act = "gelu";  // the older name is the same function
  fields.choice("position_embedding_type", "absolute", {"absolute"});
  config.norm_eps = fields.positive_number("layer_norm_eps", 1e-12);
  config.hidden_dropout = fields.fraction("hidden_dropout_prob", 0.1);
  config.attention_dropout = fields.fraction("attention_probs_dropout_prob", 0.1);
  config.attention_output_dropout = config.hidden_dropout;
  config.classifier_dropout = fields.fraction("classifier_dropout", config.hidden_dropout);
  config.initializer_range = fields.non_negative_number("initializer_range", 0.02);
  return config;
}

std::vector<std::pair<std::string, std::string>> bert_weight_names() {
  const std::string layer = "encoder.layer.{}.";
  std::vector<std::pair<std::string, std::string>> names = {
      {"embeddings.word.weight", "embeddings.word_embeddings.weight"},
      {"embeddings.position.weight", "embeddings.position_embeddings.weight"},
      {"embeddings.token_type.weight", "embeddings.token_type_embeddings.weight"},
      {"embeddings.norm.weight", "embeddings.LayerNorm.weight"},
      {"embeddings.norm.bias", "embeddings.LayerNorm.bias"}};
  const std::vector<std::pair<std::string, std::string>> modules = {{"query", "attention.self.query"},
                                                                    {"key", "attention.self.key"},
                                                                    {"value", "attention.self.value"},
                                                                    {"attention_output", "attention.output.dense"},
                                                                    {"attention_norm", "attention.output.LayerNorm"},
                                                                    {"intermediate", "intermediate.dense"},
                                                                    {"mlp_output", "output.dense"},
                                                                    {"mlp_norm", "output.LayerNorm"}};
  for (const auto& [canonical, hf] : modules) {
    for (const std::string kind : {".weight", ".bias"}) {
      names.emplace_back("layers.{}." + canonical + kind, layer + hf + kind);
    }
  }
  return names;
}

Architecture bert() {
  auto names = bert_weight_names();
  names.emplace_back("pooler.weight", "pooler.dense.weight");
  names.emplace_back("pooler.bias", "pooler.dense.bias");
  return {.model_type = "bert",
          .parse_config = parse_bert_config,
          .known_keys = {{"directionality", "[\"bidi\"]"},  // of Google's multilingual and Chinese models
                         {"pooler_type", "[\"first_token_transform\"]"},
                         {"pooler_fc_size"},
                         {"pooler_num_attention_heads"},
                         {"pooler_num_fc_layers"},
                         {"pooler_size_per_head"}},
          .weight_names = names,
          .optional_prefixes = {"bert."},
          .optional_weights = {"pooler.weight", "pooler.bias"},
          .modules = {"query", "key", "value", "attention_output", "intermediate", "mlp_output"},
          .paper_targets = {"query", "value", "attention_output", "mlp_output"},
          .head = {.model_class = "BertForSequenceClassification",
                   .dense = "pooler",
                   .dense_hf = "bert.pooler.dense",
                   .output_hf = "classifier",
                   .dense_saved = "pooler.dense",
                   .dense_pretrained = true}};
}

}  // namespace loraxs
