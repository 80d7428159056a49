#include "model/hf_config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "io/error.h"
#include "model/rotary_frequencies.h"

namespace loraxs {
namespace {

constexpr std::array<std::pair<const char*, const char*>, 4> kModelClasses = {{{"llama", "LlamaForCausalLM"},
                                                                               {"gemma", "GemmaForCausalLM"},
                                                                               {"qwen2", "Qwen2ForCausalLM"},
                                                                               {"qwen3", "Qwen3ForCausalLM"}}};

/// The shortest number that is read back as the same float32.
double shortest(double value) {
  char text[32];
  for (int digits = 1; digits <= 9; ++digits) {
    std::snprintf(text, sizeof text, "%.*g", digits, value);
    if (std::strtof(text, nullptr) == static_cast<float>(value)) break;
  }
  return std::strtod(text, nullptr);
}

/// The settings that Llama 3.1 and 3.2 were published with: a GGUF file has only what comes of them, a divisor for each
/// frequency.
const std::vector<RotaryConfig>& published_llama3() {
  static const std::vector<RotaryConfig> all = [] {
    std::vector<RotaryConfig> list;
    for (const double factor : {8.0, 32.0, 16.0, 4.0, 2.0}) {
      list.push_back({.scaling = "llama3", .factor = factor, .original_max_position_embeddings = 8192});
    }
    return list;
  }();
  return all;
}

nlohmann::ordered_json llama3_json(const RotaryConfig& rotary) {
  return {{"rope_type", "llama3"},
          {"factor", rotary.factor},
          {"low_freq_factor", rotary.low_freq_factor},
          {"high_freq_factor", rotary.high_freq_factor},
          {"original_max_position_embeddings", rotary.original_max_position_embeddings}};
}

nlohmann::ordered_json rope_scaling(const ModelConfig& config, const std::string& where) {
  const RotaryConfig& rotary = config.rotary;
  if (rotary.scaling == "default") return nullptr;
  if (rotary.scaling == "linear") return {{"rope_type", "linear"}, {"factor", shortest(rotary.factor)}};
  if (rotary.scaling == "llama3") return llama3_json(rotary);
  if (rotary.scaling == "factors") {
    const torch::Tensor wanted = rotary_frequencies(rotary, config.head_dim);
    for (RotaryConfig each : published_llama3()) {
      each.theta = rotary.theta;
      if (torch::allclose(rotary_frequencies(each, config.head_dim), wanted, /*rtol=*/1e-6, /*atol=*/0)) {
        return llama3_json(each);
      }
    }
    throw Error(concat(where, ": rope_freqs.weight: expected the divisors of a published Llama 3, found others, for ",
                       "which config.json has no words"));
  }
  throw Error(concat(where, ": rope scaling: expected none, linear or llama3, found ", rotary.scaling));
}

}  // namespace

nlohmann::ordered_json hf_config(const Architecture& architecture, const ModelConfig& config,
                                 const std::string& where) {
  const auto* const known = std::find_if(kModelClasses.begin(), kModelClasses.end(),
                                         [&](const auto& each) { return architecture.model_type == each.first; });
  if (known == kModelClasses.end()) {
    std::string names;
    for (const auto& [name, model_class] : kModelClasses) names += (names.empty() ? "" : ", ") + std::string(name);
    throw Error(concat(where, ": expected a model of ", names, ", found ", architecture.model_type));
  }
  nlohmann::ordered_json json = {{"architectures", nlohmann::ordered_json::array({known->second})},
                                 {"model_type", architecture.model_type},
                                 {"vocab_size", config.vocab_size},
                                 {"hidden_size", config.hidden_size},
                                 {"intermediate_size", config.intermediate_size},
                                 {"num_hidden_layers", config.num_hidden_layers},
                                 {"num_attention_heads", config.num_attention_heads},
                                 {"num_key_value_heads", config.num_key_value_heads},
                                 {"head_dim", config.head_dim},
                                 {"max_position_embeddings", config.max_position_embeddings},
                                 {"rms_norm_eps", shortest(config.norm_eps)},
                                 {"hidden_act", config.hidden_act},
                                 {"rope_theta", shortest(config.rotary.theta)},
                                 {"rope_scaling", rope_scaling(config, where)},
                                 {"tie_word_embeddings", config.tie_word_embeddings}};
  if (architecture.model_type == "gemma") json["hidden_activation"] = config.hidden_act;
  return json;
}

}  // namespace loraxs
