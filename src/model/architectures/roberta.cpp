#include "model/architectures/roberta.h"

#include "model/architectures/bert.h"

namespace loraxs {
namespace {

/// BERT, but positions start after the padding id's own row.
ModelConfig parse_roberta_config(Fields& fields) {
  ModelConfig config = parse_bert_config(fields);
  config.padding_id = fields.non_negative_int("pad_token_id", 1, kMostTokens);
  config.position_offset = config.padding_id + 1;
  if (config.max_position_embeddings <= config.position_offset) {
    fields.fail("max_position_embeddings", "expected more rows than pad_token_id + 1, the first position's");
  }
  return config;
}

Architecture roberta_like(const std::string& model_type, const std::string& model_class) {
  auto names = bert_weight_names();
  names.emplace_back("head.dense.weight", "classifier.dense.weight");
  names.emplace_back("head.dense.bias", "classifier.dense.bias");
  return {
      .model_type = model_type,
      .parse_config = parse_roberta_config,
      .weight_names = names,
      .optional_prefixes = {"roberta."},
      .optional_weights = {"head.dense.weight", "head.dense.bias"},  // of a checkpoint that was a classifier already
      .modules = {"query", "key", "value", "attention_output", "intermediate", "mlp_output"},
      .paper_targets = {"query", "value", "attention_output", "mlp_output"},
      .head = {.model_class = model_class,
               .dense = "head.dense",
               .dense_hf = "classifier.dense",
               .output_hf = "classifier.out_proj",
               .dense_saved = "classifier",
               .dropout_before_dense = true}};
}

}  // namespace

Architecture roberta() { return roberta_like("roberta", "RobertaForSequenceClassification"); }
Architecture xlm_roberta() { return roberta_like("xlm-roberta", "XLMRobertaForSequenceClassification"); }

}  // namespace loraxs
