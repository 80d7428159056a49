#include "model/gguf_export.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "io/error.h"
#include "model/gguf_model.h"
#include "ops/block_quantize.h"

namespace loraxs {
namespace {

constexpr const char* kRopeFactors = "rope_freqs.weight";

/// Llama 3's divisors of frequencies (convert_hf_to_gguf.py, LlamaModel.generate_extra_tensors).
torch::Tensor llama3_factors(const RotaryConfig& rotary, int64_t head_dim) {
  std::vector<float> factors;
  const auto original = static_cast<double>(rotary.original_max_position_embeddings);
  for (int64_t i = 0; i < head_dim; i += 2) {
    const double frequency = std::pow(rotary.theta, -static_cast<double>(i) / static_cast<double>(head_dim));
    const double wave = 2 * std::numbers::pi / frequency;
    const double smooth =
        (original / wave - rotary.low_freq_factor) / (rotary.high_freq_factor - rotary.low_freq_factor);
    const double between = 1 / ((1 - smooth) / rotary.factor + smooth);
    factors.push_back(static_cast<float>(wave < original / rotary.high_freq_factor  ? 1
                                         : wave > original / rotary.low_freq_factor ? rotary.factor
                                                                                    : between));
  }
  return torch::tensor(factors);
}

bool is_norm(const std::string& canonical) { return canonical.ends_with("norm.weight"); }

/// A weight as the file holds it, float32.
torch::Tensor stored_values(const BaseModel& model, const Architecture& family, const std::string& canonical) {
  torch::Tensor weight = model.weight(canonical).to(torch::kFloat32);
  if (is_norm(canonical)) return weight + model.config.norm_offset;
  return weight.dim() < 2 ? weight
                          : to_stored_rows(weight, interleaved_heads(family, model.config, canonical, weight.size(0)));
}

BlockType own_type(const torch::Tensor& weight) {
  return weight.scalar_type() == torch::kFloat16    ? BlockType::kF16
         : weight.scalar_type() == torch::kBFloat16 ? BlockType::kBF16
                                                    : BlockType::kF32;
}

/// Tokens of context in which the model's windows hide nothing.
int64_t context_length(const BaseModel& model, std::string& note) {
  int64_t context = model.config.max_position_embeddings;
  const std::vector<int64_t>& windows = model.config.windows;
  for (const int64_t window : windows) {
    if (window == 0 || window >= model.config.max_position_embeddings) continue;
    context = std::min(context, window);
  }
  if (context < model.config.max_position_embeddings) {
    note = concat("context of ", context, " tokens, the model's window, which GGUF files of its family cannot say");
  }
  return context;
}

}  // namespace

const Architecture& gguf_family(const BaseModel& model) {
  const Architecture& own = *model.architecture;
  if (!own.gguf.architecture.empty()) return own;
  if (own.model_type == "mistral") return find_gguf_architecture("llama", model.folder.string());
  std::string known;
  for (const std::string& name : known_model_types()) {
    const Architecture& each = find_architecture(name, "");
    if (!each.gguf.architecture.empty() || name == "mistral") known += (known.empty() ? "" : ", ") + name;
  }
  throw Error(concat(model.folder.string(), ": model_type: expected one that GGUF files are written of (", known,
                     "), found ", own.model_type));
}

std::vector<std::pair<std::string, std::string>> gguf_config_metadata(const BaseModel& model, std::string& note) {
  const ModelConfig& config = model.config;
  const std::string name = gguf_family(model).gguf.architecture, prefix = name + ".";
  const auto count = [](int64_t value) { return gguf_uint32(static_cast<uint32_t>(value)); };
  std::vector<std::pair<std::string, std::string>> metadata = {
      {"general.architecture", gguf_string(name)},
      {"general.type", gguf_string("model")},
      {"general.name", gguf_string(model.folder.filename().string())},
      {prefix + "context_length", count(context_length(model, note))},
      {prefix + "embedding_length", count(config.hidden_size)},
      {prefix + "block_count", count(config.num_hidden_layers)},
      {prefix + "feed_forward_length", count(config.intermediate_size)},
      {prefix + "attention.head_count", count(config.num_attention_heads)},
      {prefix + "attention.head_count_kv", count(config.num_key_value_heads)},
      {prefix + "attention.layer_norm_rms_epsilon", gguf_float32(static_cast<float>(config.norm_eps))},
      {prefix + "rope.freq_base", gguf_float32(static_cast<float>(config.rotary.theta))},
      {prefix + "vocab_size", count(config.vocab_size)}};
  for (const char* key : {"attention.key_length", "attention.value_length", "rope.dimension_count"}) {
    metadata.emplace_back(prefix + key, count(config.head_dim));
  }
  const std::string& scaling = config.rotary.scaling;
  if (scaling == "linear") {
    metadata.emplace_back(prefix + "rope.scaling.type", gguf_string("linear"));
    metadata.emplace_back(prefix + "rope.scaling.factor", gguf_float32(static_cast<float>(config.rotary.factor)));
  } else if (scaling != "default" && scaling != "llama3") {
    throw Error(concat(model.folder.string(), ": rope scaling: expected none, linear or llama3 for a GGUF file, found ",
                       scaling));
  }
  return metadata;
}

std::vector<GgufTensorSource> gguf_tensors(const BaseModel& model, std::optional<BlockType> type) {
  const Architecture& family = gguf_family(model);
  std::vector<GgufTensorSource> tensors;
  if (model.config.rotary.scaling == "llama3") {
    const torch::Tensor factors = llama3_factors(model.config.rotary, model.config.head_dim);
    tensors.push_back(
        {.name = kRopeFactors, .type = BlockType::kF32, .shape = factors.sizes().vec(), .bytes = [factors] {
           return quantize_blocks(BlockType::kF32, factors);
         }});
  }
  const std::map<std::string, std::string> names = gguf_weight_names(family, model.config);
  for (const auto& [canonical, weight] : model.weights) {
    const auto name = names.find(canonical);
    const bool read_back = !canonical.ends_with(".bias") || family.model_type == "qwen2";  // as gguf_model.h reads
    if (name == names.end() || !read_back) {
      throw Error(concat(model.folder.string(), ": ", canonical, ": expected a weight that GGUF files of ",
                         family.gguf.architecture, " have, found one they do not"));
    }
    const BlockType written = weight.dim() < 2 ? BlockType::kF32
                              : type           ? written_type(weight.sizes().vec(), *type)
                                               : own_type(weight);
    tensors.push_back({.name = name->second,
                       .type = written,
                       .shape = weight.sizes().vec(),
                       .bytes = [&model, &family, canonical = canonical, written] {
                         return quantize_blocks(written, stored_values(model, family, canonical));
                       }});
  }
  std::sort(tensors.begin(), tensors.end(), [](const auto& x, const auto& y) { return x.name < y.name; });
  return tensors;
}

}  // namespace loraxs
