#include <algorithm>

#include "io/error.h"
#include "model/architecture.h"
#include "model/architectures/bert.h"
#include "model/architectures/distilbert.h"
#include "model/architectures/gemma.h"
#include "model/architectures/llama.h"
#include "model/architectures/mistral.h"
#include "model/architectures/qwen2.h"
#include "model/architectures/qwen3.h"
#include "model/architectures/roberta.h"

namespace loraxs {
namespace {

const std::vector<Architecture>& architectures() {
  static const std::vector<Architecture> all = {bert(),    roberta(), xlm_roberta(), distilbert(), llama(),
                                                mistral(), gemma(),   qwen2(),       qwen3()};
  return all;
}

std::string join(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

std::string with_layer(std::string name, int64_t layer) {
  const size_t at = name.find("{}");
  return at == std::string::npos ? name : name.replace(at, 2, std::to_string(layer));
}

/// in_features and out_features of a module.
std::pair<int64_t, int64_t> features(const ModelConfig& c, const std::string& module) {
  const int64_t query = c.num_attention_heads * c.head_dim, key_value = c.num_key_value_heads * c.head_dim;
  if (module == "query") return {c.hidden_size, query};
  if (module == "key" || module == "value") return {c.hidden_size, key_value};
  if (module == "attention_output") return {query, c.hidden_size};
  if (module == "intermediate" || module == "gate" || module == "up") return {c.hidden_size, c.intermediate_size};
  return {c.intermediate_size, c.hidden_size};  // mlp_output, down
}

}  // namespace

std::string ModelConfig::canonical() const {
  std::ostringstream text;
  text.precision(17);
  text << "model_type=" << model_type << " vocab_size=" << vocab_size << " hidden_size=" << hidden_size
       << " num_hidden_layers=" << num_hidden_layers << " num_attention_heads=" << num_attention_heads
       << " num_key_value_heads=" << num_key_value_heads << " head_dim=" << head_dim
       << " intermediate_size=" << intermediate_size << " max_position_embeddings=" << max_position_embeddings
       << " type_vocab_size=" << type_vocab_size << " hidden_act=" << hidden_act << " norm_eps=" << norm_eps;
  if (position_offset > 0) text << " position_offset=" << position_offset << " padding_id=" << padding_id;
  if (rotary.theta > 0) {
    text << " rope_theta=" << rotary.theta << " rope_scaling=" << rotary.scaling;
    if (rotary.scaling != "default") text << " factor=" << rotary.factor;
    if (rotary.scaling == "llama3") {
      text << " low_freq_factor=" << rotary.low_freq_factor << " high_freq_factor=" << rotary.high_freq_factor
           << " original_max_position_embeddings=" << rotary.original_max_position_embeddings;
    }
    if (rotary.attention_factor != 1) text << " attention_factor=" << rotary.attention_factor;
    if (rotary.scaling == "yarn") {
      text << " beta_fast=" << rotary.beta_fast << " beta_slow=" << rotary.beta_slow << " truncate=" << rotary.truncate;
    }
    if (rotary.scaling == "yarn" || rotary.scaling == "longrope") {
      text << " original_max_position_embeddings=" << rotary.original_max_position_embeddings;
    }
    for (const float factor : rotary.factors) text << " rope_factor=" << factor;
    for (const float factor : rotary.long_factors) text << " long_factor=" << factor;
    text << " tie_word_embeddings=" << tie_word_embeddings;
    if (embedding_scale != 1) text << " embedding_scale=" << embedding_scale;
    if (norm_offset != 0) text << " norm_offset=" << norm_offset;
    for (const int64_t window : windows) text << " window=" << window;
  }
  return text.str();
}

std::vector<std::string> known_model_types() {
  std::vector<std::string> names;
  for (const Architecture& architecture : architectures()) names.push_back(architecture.model_type);
  return names;
}

const Architecture& find_architecture(const std::string& model_type, const std::string& where) {
  for (const Architecture& architecture : architectures()) {
    if (architecture.model_type == model_type) return architecture;
  }
  throw Error(
      concat(where, ": model_type: expected one of ", join(known_model_types()), ", found \"", model_type, "\""));
}

const Architecture& find_gguf_architecture(const std::string& name, const std::string& where) {
  std::vector<std::string> known;
  for (const Architecture& architecture : architectures()) {
    if (architecture.gguf.architecture.empty()) continue;
    if (architecture.gguf.architecture == name) return architecture;
    known.push_back(architecture.gguf.architecture);
  }
  throw Error(concat(where, ": general.architecture: expected one of ", join(known), ", found \"", name, "\""));
}

std::vector<std::pair<std::string, std::string>> list_weights(
    const Architecture& architecture, const ModelConfig& config,
    const std::vector<std::pair<std::string, std::string>>& names) {
  std::vector<std::pair<std::string, std::string>> result;
  for (const auto& [canonical, other] : names) {
    if (architecture.has_weight && !architecture.has_weight(config, canonical)) continue;
    const bool per_layer = canonical.find("{}") != std::string::npos;
    for (int64_t layer = 0; layer < (per_layer ? config.num_hidden_layers : 1); ++layer) {
      result.emplace_back(with_layer(canonical, layer), with_layer(other, layer));
    }
  }
  return result;
}

std::vector<int64_t> weight_shape(const Architecture& architecture, const ModelConfig& c,
                                  const std::string& canonical) {
  if (canonical == "embeddings.word.weight" || canonical == "lm_head.weight") return {c.vocab_size, c.hidden_size};
  if (canonical == "embeddings.position.weight") return {c.max_position_embeddings, c.hidden_size};
  if (canonical == "embeddings.token_type.weight") return {c.type_vocab_size, c.hidden_size};
  if (canonical == "pooler.weight" || canonical == "head.dense.weight") return {c.hidden_size, c.hidden_size};
  if (canonical.ends_with(".query_norm.weight") || canonical.ends_with(".key_norm.weight")) return {c.head_dim};
  if (canonical.starts_with("layers.")) {  // layers.{layer}.{module}.{weight | bias}
    const size_t first = canonical.find('.', std::string_view("layers.").size()) + 1, last = canonical.rfind('.');
    const std::string module = canonical.substr(first, last - first);
    if (std::find(architecture.modules.begin(), architecture.modules.end(), module) != architecture.modules.end()) {
      const auto [in_features, out_features] = features(c, module);
      if (canonical.ends_with(".bias")) return {out_features};
      return {out_features, in_features};
    }
  }
  return {c.hidden_size};  // norms and their biases, the bias of the head's dense layer
}

std::vector<Site> list_sites(const Architecture& architecture, const ModelConfig& config) {
  std::vector<Site> sites;
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    for (const std::string& module : architecture.modules) {
      const std::string canonical = "layers.{}." + module + ".weight";
      const auto name = std::find_if(architecture.weight_names.begin(), architecture.weight_names.end(),
                                     [&](const auto& pair) { return pair.first == canonical; });
      std::string hf = with_layer(name->second, layer);
      hf.resize(hf.size() - std::string(".weight").size());
      const auto [in_features, out_features] = features(config, module);
      const std::string bias = "layers.{}." + module + ".bias";
      const bool has_bias = std::any_of(architecture.weight_names.begin(), architecture.weight_names.end(),
                                        [&](const auto& pair) { return pair.first == bias; }) &&
                            (!architecture.has_weight || architecture.has_weight(config, bias));
      sites.push_back(
          {.name = concat("layers.", layer, ".", module),
           .module = module,
           .hf_name = (architecture.optional_prefixes.empty() ? "" : architecture.optional_prefixes[0]) + hf,
           .layer = layer,
           .in_features = in_features,
           .out_features = out_features,
           .has_bias = has_bias});
    }
  }
  return sites;
}

std::vector<Site> select_sites(const Architecture& architecture, const ModelConfig& config,
                               const std::vector<std::string>& targets, const std::string& where) {
  const std::vector<Site> all = list_sites(architecture, config);
  const auto matches = [&](const Site& site, const std::string& target) {
    if (target == "all-linear") return true;
    if (target == "paper") {
      const auto& paper = architecture.paper_targets;
      return std::find(paper.begin(), paper.end(), site.module) != paper.end();
    }
    if (target.starts_with("site:")) return site.module == target.substr(5) || site.name == target.substr(5);
    return site.hf_name == target || site.hf_name.ends_with("." + target);
  };
  for (const std::string& target : targets) {
    if (std::any_of(all.begin(), all.end(), [&](const Site& site) { return matches(site, target); })) continue;
    std::vector<std::string> known = {"paper", "all-linear"};
    for (const Site& site : all) {
      if (site.layer != 0) break;
      const size_t last = site.hf_name.rfind('.'), before = site.hf_name.rfind('.', last - 1);
      known.push_back(site.hf_name.substr(last + 1));
      known.push_back(site.hf_name.substr(before + 1));
      known.push_back("site:" + site.module);
    }
    std::sort(known.begin(), known.end());
    known.erase(std::unique(known.begin(), known.end()), known.end());
    const auto near = nearest_name(target, known);
    throw Error(concat(where, ": method.targets: expected modules of this model, found \"", target, "\"",
                       near ? "; did you mean " + *near + "?" : "", " Known: ", join(known)));
  }
  std::vector<Site> chosen;
  for (const Site& site : all) {
    if (std::any_of(targets.begin(), targets.end(), [&](const std::string& t) { return matches(site, t); })) {
      chosen.push_back(site);
    }
  }
  if (chosen.empty()) throw Error(concat(where, ": method.targets: expected at least one module, found none"));
  return chosen;
}

ParsedConfig parse_model_config(const Architecture& architecture, Fields& fields,
                                const std::vector<std::string>& accepted_keys) {
  fields.ignore_unknown();
  ParsedConfig parsed{.architecture = &architecture, .config = architecture.parse_config(fields)};
  parsed.config.model_type = architecture.model_type;
  fields.text("model_type", "");
  check_config_keys(fields, architecture.kind, architecture.model_type, architecture.known_keys, accepted_keys);
  const ModelConfig& config = parsed.config;
  for (const int64_t heads : {config.num_attention_heads, config.num_key_value_heads}) {
    if (heads * config.head_dim <= kMostWidth) continue;
    fields.fail("head_dim", concat("expected at most ", kMostWidth, " columns of all heads, found ", heads,
                                   " heads of ", config.head_dim));
  }
  return parsed;
}

}  // namespace loraxs
