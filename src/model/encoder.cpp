#include "model/encoder.h"

#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

#include "io/error.h"
#include "ops/gelu.h"
#include "ops/residual_norm.h"

namespace loraxs {

Encoder::Encoder(const BaseModel& model, torch::ScalarType compute_dtype, torch::Device device)
    : config_(model.config), compute_dtype_(compute_dtype) {
  const auto options =
      torch::TensorOptions().dtype(compute_dtype == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32).device(device);
  const auto weight = [&](const std::string& name) { return model.weight(name).to(options); };
  const auto norm = [&](const std::string& name) { return Norm{weight(name + ".weight"), weight(name + ".bias")}; };
  words_ = weight("embeddings.word.weight");
  positions_ = weight("embeddings.position.weight");
  if (config_.type_vocab_size > 0) token_types_ = weight("embeddings.token_type.weight");
  embedding_norm_ = norm("embeddings.norm");
  const std::vector<Site> sites = list_sites(*model.architecture, config_);
  const auto add = [&](int64_t layer, const std::vector<std::string>& modules) {
    groups_.push_back(make_projection_group(sites, layer, modules));
    return groups_.size() - 1;
  };
  for (int64_t l = 0; l < config_.num_hidden_layers; ++l) {
    Layer layer;
    if (l + 1 < config_.num_hidden_layers) {
      layer.query = layer.key_value = add(l, {"query", "key", "value"});
    } else {
      layer.query = add(l, {"query"});
      layer.key_value = add(l, {"key", "value"});
    }
    layer.attention_output = add(l, {"attention_output"});
    layer.intermediate = add(l, {"intermediate"});
    layer.mlp_output = add(l, {"mlp_output"});
    layer.attention_norm = norm(concat("layers.", l, ".attention_norm"));
    layer.mlp_norm = norm(concat("layers.", l, ".mlp_norm"));
    layers_.push_back(layer);
  }
}

torch::Tensor Encoder::position_rows(const BatchTensors& batch) const {
  if (config_.position_offset == 0) return batch.positions;
  // As transformers' create_position_ids_from_input_ids: a padding id inside a text takes no position.
  const torch::Tensor is_text = batch.input_ids.ne(config_.padding_id).to(torch::kInt64);  // [tokens]
  const torch::Tensor before = is_text.cumsum(0) - is_text;  // texts ids before a token, over the batch
  const torch::Tensor start = before.index_select(0, batch.sequence_starts);  // [tokens]
  return (before - start + 1) * is_text + config_.padding_id;
}

torch::Tensor Encoder::embed(const BatchTensors& batch, bool training) const {
  torch::NoGradGuard no_grad;                                 // everything here is frozen
  torch::Tensor x = words_.index_select(0, batch.input_ids);  // [tokens, hidden]
  x.add_(positions_.index_select(0, position_rows(batch)));
  if (config_.type_vocab_size == 1) {
    x.add_(token_types_[0]);  // RoBERTa: one type, whatever the tokenizer numbers
  } else if (config_.type_vocab_size > 1) {
    x.add_(token_types_.index_select(0, batch.token_type_ids));
  }
  x = at::layer_norm(x, {config_.hidden_size}, embedding_norm_.weight, embedding_norm_.bias, config_.norm_eps);
  if (training && config_.hidden_dropout > 0) {
    x = apply_dropout(x, Dropout::make(config_.hidden_dropout, 0, DropoutPurpose::kEmbedding), batch.token_rows);
  }
  return x.to(compute_dtype_);
}

torch::Tensor Encoder::forward(const BatchTensors& batch, const std::shared_ptr<const ProjectionHook>& hook,
                               bool training, KeyValueCache* cache) const {
  TORCH_CHECK(cache == nullptr, "Encoder: a key-value cache is for decoders");
  const AttentionShape shape{.heads = config_.num_attention_heads,
                             .kv_heads = config_.num_key_value_heads,
                             .head_dim = config_.head_dim,
                             .scale = 1 / std::sqrt(static_cast<double>(config_.head_dim))};
  const int64_t width = shape.heads * shape.head_dim, kv_width = shape.kv_heads * shape.head_dim;
  const auto dropout = [&](double probability, size_t layer, DropoutPurpose purpose) {
    return training ? Dropout::make(probability, static_cast<int64_t>(layer), purpose) : Dropout{};
  };
  torch::Tensor x = embed(batch, training);  // [tokens, hidden]
  for (size_t l = 0; l < layers_.size(); ++l) {
    const Layer& layer = layers_[l];
    const bool last = layer.query != layer.key_value;
    const RowKind kind = last ? RowKind::kAsked : RowKind::kTokens;
    const RowKeys& rows = last ? batch.asked_keys : batch.token_rows;
    const Dropout attention_dropout = dropout(config_.attention_dropout, l, DropoutPurpose::kAttention);
    torch::Tensor attended, residual;
    if (last) {
      residual = x.index_select(0, batch.asked_rows);  // [asked, hidden]
      const torch::Tensor query = hook->project(layer.query, residual, RowKind::kAsked);
      const torch::Tensor key_value = hook->project(layer.key_value, x, RowKind::kTokens);
      attended = varlen_attention(query, key_value, {.query = 0, .key = 0, .value = kv_width}, shape, batch.asked,
                                  attention_dropout);
    } else {
      residual = x;
      const torch::Tensor joined = hook->project(layer.query, x, RowKind::kTokens);
      attended = varlen_attention(joined, joined, {.query = 0, .key = width, .value = width + kv_width}, shape,
                                  batch.all_tokens, attention_dropout);
    }
    x = residual_norm(hook->project(layer.attention_output, attended, kind), residual, layer.attention_norm.weight,
                      layer.attention_norm.bias, config_.norm_eps,
                      dropout(config_.attention_output_dropout, l, DropoutPurpose::kAttentionOutput), rows);
    const torch::Tensor inner = gelu(hook->project(layer.intermediate, x, kind), config_.intermediate_size);
    x = residual_norm(hook->project(layer.mlp_output, inner, kind), x, layer.mlp_norm.weight, layer.mlp_norm.bias,
                      config_.norm_eps, dropout(config_.hidden_dropout, l, DropoutPurpose::kMlpOutput), rows);
  }
  return x;
}

}  // namespace loraxs
