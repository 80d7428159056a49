#include "model/decoder.h"

#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "io/error.h"
#include "model/recompute.h"
#include "model/rotary_frequencies.h"
#include "ops/gated_mlp.h"
#include "ops/rms_norm.h"

namespace loraxs {

int64_t kept_per_token(const ModelConfig& config) {
  const int64_t query_key = (config.num_attention_heads + config.num_key_value_heads) * config.head_dim;
  const int64_t value = config.num_key_value_heads * config.head_dim;
  return 2 * config.hidden_size + query_key + value + 2 * config.intermediate_size +
         (config.query_key_norm ? query_key : 0);
}

Decoder::Decoder(const BaseModel& model, torch::ScalarType compute_dtype, torch::Device device)
    : config_(model.config), compute_dtype_(compute_dtype) {
  const auto options =
      torch::TensorOptions().dtype(compute_dtype == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32).device(device);
  const auto norm = [&](const std::string& name) {
    const torch::Tensor stored = model.weight(name + ".weight").to(options);
    return config_.norm_offset == 0 ? stored : stored + config_.norm_offset;
  };
  if (!model.blocks.contains("embeddings.word.weight")) {
    words_ = model.weight("embeddings.word.weight").to(device);
  } else if (device.is_cpu()) {
    word_blocks_ = model.stored("embeddings.word.weight");
  } else {  // nobody unpacks blocks there
    words_ = model.weight("embeddings.word.weight").to(device, compute_dtype);
  }
  final_norm_ = norm("norm");
  inverse_frequencies_ = rotary_frequencies(config_.rotary, config_.head_dim).to(device);
  if (config_.rotary.scaling == "longrope") {
    long_frequencies_ = rotary_frequencies(config_.rotary, config_.head_dim, /*long_text=*/true).to(device);
  }
  const std::vector<Site> sites = list_sites(*model.architecture, config_);
  const auto add = [&](int64_t layer, const std::vector<std::string>& modules) {
    groups_.push_back(make_projection_group(sites, layer, modules));
    return groups_.size() - 1;
  };
  for (int64_t l = 0; l < config_.num_hidden_layers; ++l) {
    Layer layer;
    if (is_last(l)) {
      layer.query = add(l, {"query"});
      layer.key_value = add(l, {"key", "value"});
    } else {
      layer.query = layer.key_value = add(l, {"query", "key", "value"});
    }
    layer.attention_output = add(l, {"attention_output"});
    layer.gate_up = add(l, {"gate", "up"});
    layer.down = add(l, {"down"});
    layer.attention_norm = norm(concat("layers.", l, ".attention_norm"));
    layer.mlp_norm = norm(concat("layers.", l, ".mlp_norm"));
    if (config_.query_key_norm) {
      layer.head_norms =
          torch::cat({norm(concat("layers.", l, ".query_norm")).expand({config_.num_attention_heads, -1}),
                      norm(concat("layers.", l, ".key_norm")).expand({config_.num_key_value_heads, -1})});
    }
    layers_.push_back(layer);
  }
}

torch::Tensor Decoder::embed(const BatchTensors& batch) const {
  torch::NoGradGuard no_grad;  // frozen
  torch::Tensor words = words_.defined() ? words_.index_select(0, batch.input_ids).to(compute_dtype_)
                                         : gather_rows(word_blocks_, batch.input_ids, compute_dtype_);
  if (config_.embedding_scale == 1) return words;  // [tokens, hidden]
  // transformers keeps the factor in float32, then in the compute dtype: its rounding is part of the model.
  return words * torch::full({}, config_.embedding_scale, words.options().dtype(torch::kFloat32)).to(compute_dtype_);
}

RotaryAngles Decoder::angles_of(const BatchTensors& batch, const torch::Tensor& rows) const {
  const auto chosen = [&](const torch::Tensor& x) { return rows.defined() ? x.index_select(0, rows) : x; };
  torch::Tensor frequencies = inverse_frequencies_;
  if (long_frequencies_.defined()) {
    // Every token of a text turns as the length of the whole text says: the position of its last token.
    const torch::Tensor starts = batch.all_tokens.key_starts.tensor.to(torch::kInt64);
    const torch::Tensor last = batch.positions.index_select(0, starts.slice(0, 1) - 1);  // [sequences]
    const torch::Tensor is_long =
        (last + 1 > config_.rotary.original_max_position_embeddings)
            .repeat_interleave(starts.slice(0, 1) - starts.slice(0, 0, -1), 0, batch.positions.size(0));
    frequencies = torch::where(chosen(is_long).unsqueeze(1), long_frequencies_, inverse_frequencies_);
  }
  return rotary_angles(chosen(batch.positions), frequencies, config_.rotary.attention_factor);
}

torch::Tensor Decoder::attend(int64_t l, const torch::Tensor& normed, const Pass& pass) const {
  const Layer& layer = layers_[l];
  const AttentionShape shape{.heads = config_.num_attention_heads,
                             .kv_heads = config_.num_key_value_heads,
                             .head_dim = config_.head_dim,
                             .scale = 1 / std::sqrt(static_cast<double>(config_.head_dim)),
                             .causal = true,
                             .window = config_.window(l)};
  const int64_t width = shape.heads * shape.head_dim, kv_width = shape.kv_heads * shape.head_dim;
  // The first columns of x are `heads` heads, of those that head_norms lists from `first` on.
  const auto turn = [&](const torch::Tensor& x, int64_t first, int64_t heads, const RotaryAngles& angles) {
    if (!layer.head_norms.defined()) return rotary_(x, heads, angles);
    return rotary_(head_rms_norm_(x, layer.head_norms.narrow(0, first, heads), config_.norm_eps), heads, angles);
  };
  torch::Tensor queries, keys_values;
  AttentionColumns columns;
  if (is_last(l)) {
    queries = turn(pass.hook->project(layer.query, normed.index_select(0, pass.batch.asked_rows), RowKind::kAsked), 0,
                   shape.heads, pass.asked_angles);
    keys_values =
        turn(pass.hook->project(layer.key_value, normed, RowKind::kTokens), shape.heads, shape.kv_heads, pass.angles);
    columns = {.query = 0, .key = 0, .value = kv_width};
  } else {
    queries = keys_values =
        turn(pass.hook->project(layer.query, normed, RowKind::kTokens), 0, shape.heads + shape.kv_heads, pass.angles);
    columns = {.query = 0, .key = width, .value = width + kv_width};
  }
  if (pass.cache != nullptr) return pass.cache->attend(l, queries, keys_values, columns, shape, pass.batch, is_last(l));
  const Dropout dropout =
      pass.training ? Dropout::make(config_.attention_dropout, l, DropoutPurpose::kAttention) : Dropout{};
  return varlen_attention(queries, keys_values, columns, shape, is_last(l) ? pass.batch.asked : pass.batch.all_tokens,
                          dropout);
}

torch::Tensor Decoder::run_layer(int64_t l, const torch::Tensor& x, const Pass& pass) const {
  const Layer& layer = layers_[l];
  const RowKind rows = is_last(l) ? RowKind::kAsked : RowKind::kTokens;
  const auto project = [&](size_t group, const torch::Tensor& input) { return pass.hook->project(group, input, rows); };
  const torch::Tensor attended = attend(l, rms_norm(x, layer.attention_norm, config_.norm_eps, compute_dtype_), pass);
  const auto [middle, normed] =
      residual_rms_norm(project(layer.attention_output, attended),
                        is_last(l) ? x.index_select(0, pass.batch.asked_rows) : x, layer.mlp_norm, config_.norm_eps);
  const torch::Tensor inner = gated_mlp(project(layer.gate_up, normed), config_.intermediate_size, config_.gate);
  return middle + project(layer.down, inner).narrow(1, 0, config_.hidden_size);
}

int64_t Decoder::recomputed_layers(int64_t tokens) const {
  if (activation_budget_ < 0) return 0;
  const int64_t layer_bytes =
      std::max<int64_t>(1, tokens * kept_per_token(config_) * static_cast<int64_t>(c10::elementSize(compute_dtype_)));
  return std::clamp<int64_t>(config_.num_hidden_layers - activation_budget_ / layer_bytes, 0,
                             config_.num_hidden_layers);
}

torch::Tensor Decoder::forward(const BatchTensors& batch, const std::shared_ptr<const ProjectionHook>& hook,
                               bool training, KeyValueCache* cache) const {
  // Shared with recomputed layers, which outlive this call.
  const auto pass = std::make_shared<const Pass>(Pass{.batch = batch,
                                                      .hook = hook,
                                                      .angles = angles_of(batch, {}),
                                                      .asked_angles = angles_of(batch, batch.asked_rows),
                                                      .cache = cache,
                                                      .training = training});
  const int64_t recompute = training ? recomputed_layers(batch.input_ids.size(0)) : 0;
  torch::Tensor x = embed(batch);  // [tokens, hidden]
  // The sums are what bfloat16 rounds most often. Where nothing is kept for backward, float32 costs next to nothing.
  if (compute_dtype_ == torch::kBFloat16 && !training && !torch::GradMode::is_enabled()) x = x.to(torch::kFloat32);
  for (int64_t l = 0; l < config_.num_hidden_layers; ++l) {
    const Layer& layer = layers_[l];
    const bool trains = x.requires_grad() || hook->trains(layer.query) || hook->trains(layer.key_value) ||
                        hook->trains(layer.attention_output) || hook->trains(layer.gate_up) || hook->trains(layer.down);
    if (l < recompute && trains) {
      x = recomputed([this, l, pass](const torch::Tensor& input) { return run_layer(l, input, *pass); }, x);
    } else {
      x = run_layer(l, x, *pass);
    }
  }
  return rms_norm(x, final_norm_, config_.norm_eps, compute_dtype_);  // [asked, hidden]
}

}  // namespace loraxs
