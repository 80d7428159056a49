// The config of a GGUF file: its metadata by llama.cpp's rules (llama-model.cpp, llama-context.cpp).
#include <algorithm>
#include <cmath>
#include <cstring>

#include "io/error.h"
#include "model/gguf_model.h"

namespace loraxs {
namespace {

template <typename... Parts>
[[noreturn]] void refuse(const Gguf& file, const Parts&... parts) {
  throw Error(concat(file.path.string(), ": ", parts...));
}

/// A key after "llama.", and the values with which it changes nothing; none: it is used, or changes nothing at all.
struct ModelKey {
  std::string_view name;
  std::vector<double> values = {};
};

const std::vector<ModelKey>& model_keys() {
  static const std::vector<ModelKey> keys = {{"embedding_length"},
                                             {"feed_forward_length"},
                                             {"block_count"},
                                             {"context_length"},
                                             {"attention.head_count"},
                                             {"attention.head_count_kv"},
                                             {"attention.layer_norm_rms_epsilon"},
                                             {"attention.key_length"},
                                             {"attention.value_length"},
                                             {"rope.dimension_count"},
                                             {"rope.freq_base"},
                                             {"rope.scale_linear"},
                                             {"rope.scaling.type"},
                                             {"rope.scaling.factor"},
                                             {"rope.scaling.original_context_length"},
                                             {"rope.scaling.attn_factor"},
                                             {"rope.scaling.yarn_beta_fast"},
                                             {"rope.scaling.yarn_beta_slow"},
                                             // What follows changes nothing.
                                             {"vocab_size"},
                                             {"tensor_data_layout"},
                                             {"pooling_type"},
                                             {"attention.layer_norm_epsilon"},
                                             {"rope.scaling.finetuned"},
                                             {"rope.scaling.yarn_ext_factor", {-1, 1}},
                                             {"rope.scaling.yarn_attn_factor", {1}},
                                             {"rope.scaling.yarn_log_multiplier", {0}},
                                             {"attention.causal", {1}},
                                             {"attention.sliding_window", {0}},
                                             {"attention.scale", {0}},
                                             {"attention.clamp_kqv", {0}},
                                             {"attention.max_alibi_bias", {0}},
                                             {"attn_logit_softcapping", {0}},
                                             {"final_logit_softcapping", {0}},
                                             {"logit_scale", {0, 1}},
                                             {"residual_scale", {0, 1}},
                                             {"embedding_scale", {0, 1}},
                                             {"use_parallel_residual", {0}},
                                             {"expert_count", {0}},
                                             {"expert_used_count", {0}},
                                             {"leading_dense_block_count", {0}}};
  return keys;
}

/// Keys after "tokenizer.ggml.": those that text/tokenizer_gguf.cpp reads, then those that change no ids of the kinds
/// it knows (llama-vocab.cpp reads some of them for other kinds alone).
const std::vector<ModelKey>& tokenizer_keys() {
  static const std::vector<ModelKey> keys = {{"model"},
                                             {"pre"},
                                             {"tokens"},
                                             {"scores"},
                                             {"token_type"},
                                             {"merges"},
                                             {"bos_token_id"},
                                             {"eos_token_id"},
                                             {"eot_token_id"},
                                             {"eom_token_id"},
                                             {"unknown_token_id"},
                                             {"add_bos_token"},
                                             {"add_eos_token"},
                                             {"add_space_prefix"},
                                             // What follows changes nothing.
                                             {"padding_token_id"},
                                             {"seperator_token_id"},
                                             {"separator_token_id"},
                                             {"cls_token_id"},
                                             {"mask_token_id"},
                                             {"prefix_token_id"},
                                             {"suffix_token_id"},
                                             {"middle_token_id"},
                                             {"fim_pre_token_id"},
                                             {"fim_suf_token_id"},
                                             {"fim_mid_token_id"},
                                             {"fim_pad_token_id"},
                                             {"fim_rep_token_id"},
                                             {"fim_sep_token_id"},
                                             {"token_type_count"},
                                             {"add_sep_token"},
                                             {"remove_extra_whitespaces"},
                                             {"escape_whitespaces", {1}},
                                             {"precompiled_charsmap"}};
  return keys;
}

/// Metadata of the model itself, "llama.…", and of its tokenizer: the others tell where a file comes from.
void check_model_keys(const Gguf& file, const std::string& prefix, const std::vector<std::string>& accepted) {
  for (const std::string& key : accepted) {
    if (!file.has(key)) refuse(file, key, ": expected a key that stands there for --accept-config, found none");
  }
  for (const auto& [key, value] : file.metadata) {
    constexpr std::string_view kTokenizer = "tokenizer.ggml.";
    const bool of_tokenizer = key.starts_with(kTokenizer);
    if (!of_tokenizer && !key.starts_with(prefix)) continue;
    if (std::ranges::find(accepted, key) != accepted.end()) continue;
    const auto& keys = of_tokenizer ? tokenizer_keys() : model_keys();
    const auto known = std::ranges::find(
        keys, std::string_view(key).substr(of_tokenizer ? kTokenizer.size() : prefix.size()), &ModelKey::name);
    const auto way_on = concat("; --accept-config ", key, " reads the model as if it did not stand there");
    if (known == keys.end()) {
      refuse(file, key, ": expected keys that are known for a ", prefix.substr(0, prefix.size() - 1),
             " model, found this one, which may change what it computes", way_on);
    }
    if (known->values.empty()) continue;
    const std::optional<double> number =
        value.boolean() ? std::optional<double>(*value.boolean() ? 1 : 0) : value.number();
    if (number && std::ranges::find(known->values, *number) != known->values.end()) continue;
    refuse(file, key, ": expected ", known->values.back(), ", found ", number ? concat(*number) : "no number", way_on);
  }
}

void check_is_model(const Gguf& file) {
  if (file.has("general.type") && file.text("general.type") != "model") {
    refuse(file, "general.type: expected model, found ", file.text("general.type"));
  }
  if (file.has("split.count") && file.integer("split.count") > 1) {
    refuse(file, "split.count: expected the whole model, found one of ", file.integer("split.count"),
           " parts; join them with llama-gguf-split --merge");
  }
}

/// A size of the model: so small that products of two cannot overflow.
int64_t count(const Gguf& file, std::string_view key) {
  const int64_t value = file.integer(key);
  if (value < 1 || value > INT32_MAX)
    refuse(file, key, ": expected an integer from 1 to ", INT32_MAX, ", found ", value);
  return value;
}

int64_t head_dim(const Gguf& file, const std::string& prefix, int64_t fallback) {
  int64_t result = 0;
  for (const std::string key : {"attention.key_length", "attention.value_length", "rope.dimension_count"}) {
    if (!file.has(prefix + key)) continue;
    const int64_t value = count(file, prefix + key);
    if (result != 0 && value != result) {
      refuse(file, prefix, key, ": expected ", result, " like the other dimensions of a head, found ", value);
    }
    result = value;
  }
  return result == 0 ? fallback : result;
}

/// Divisors of each pair's frequency.
std::vector<float> pair_divisors(const Gguf& file, std::string_view name, int64_t pairs) {
  const GgufTensor& tensor = file.tensor(name);
  if (tensor.type != BlockType::kF32 || tensor.shape != std::vector<int64_t>{pairs}) {
    refuse(file, name, ": expected F32 [", pairs, "], found ", block_type_info(tensor.type).name, " ",
           at::IntArrayRef(tensor.shape));
  }
  std::vector<float> factors(pairs);
  std::memcpy(factors.data(), tensor.bytes.data(), tensor.bytes.size());
  for (const float factor : factors) {
    if (!(factor > 0 && std::isfinite(factor))) refuse(file, name, ": expected numbers > 0, found ", factor);
  }
  return factors;
}

/// rope_parameters as config.json has them. `pairs`: of a head.
nlohmann::json rope_parameters(const Gguf& file, const std::string& prefix, int64_t pairs) {
  const auto number = [&](const char* key, double fallback) {
    return file.has(prefix + key) ? file.number(prefix + key) : fallback;
  };
  nlohmann::json rope = {{"rope_type", "default"}};
  if (file.has(prefix + "rope.freq_base")) rope["rope_theta"] = file.number(prefix + "rope.freq_base");
  const std::string type(file.has(prefix + "rope.scaling.type") ? file.text(prefix + "rope.scaling.type") : "linear");
  // A factor without a type is linear; 0 means none; the older key counts where the newer is absent.
  double factor = number("rope.scaling.factor", number("rope.scale_linear", 0));
  if (factor == 0) factor = 1;
  const double attention = number("rope.scaling.attn_factor", 1);
  if (type == "yarn") {
    rope["rope_type"] = type;
    rope["factor"] = factor;
    rope["original_max_position_embeddings"] =
        count(file, prefix + (file.has(prefix + "rope.scaling.original_context_length")
                                  ? "rope.scaling.original_context_length"
                                  : "context_length"));
    rope["attention_factor"] = attention * (factor <= 1 ? 1 : 1 + 0.1 * std::log(factor));
    rope["beta_fast"] = number("rope.scaling.yarn_beta_fast", 32);
    rope["beta_slow"] = number("rope.scaling.yarn_beta_slow", 1);
    return rope;
  }
  if (type == "longrope") {
    if (factor != 1) refuse(file, prefix, "rope.scaling.factor: expected 1 for longrope, found ", factor);
    rope["rope_type"] = type;
    rope["factor"] = 1;
    rope["original_max_position_embeddings"] = count(file, prefix + "rope.scaling.original_context_length");
    rope["attention_factor"] = attention;
    rope["short_factor"] = pair_divisors(file, "rope_factors_short.weight", pairs);
    rope["long_factor"] = pair_divisors(file, "rope_factors_long.weight", pairs);
    return rope;
  }
  if (type != "none" && type != "linear") {
    refuse(file, prefix, "rope.scaling.type: expected none, linear, yarn or longrope, found ", type);
  }
  if (attention != 1) refuse(file, prefix, "rope.scaling.attn_factor: expected 1 for ", type, ", found ", attention);
  if (type == "none" || factor == 1) return rope;
  rope["rope_type"] = type;
  rope["factor"] = factor;
  return rope;
}

}  // namespace

ParsedConfig read_gguf_config(const Gguf& file, const ReadingOptions& reading) {
  check_is_model(file);
  const std::string name(file.text("general.architecture"));
  const Architecture& architecture = find_gguf_architecture(name, file.path.string());
  const std::string prefix = name + ".";
  check_model_keys(file, prefix, reading.accepted_keys);
  const std::vector<int64_t>& words = file.tensor("token_embd.weight").shape;
  nlohmann::json config = {{"vocab_size", words.empty() ? 0 : words[0]},
                           {"tie_word_embeddings", !file.tensors.contains("output.weight")}};
  for (const auto& [key, gguf_key] : architecture.gguf.config) {
    const bool optional = key == "num_key_value_heads";
    if (optional && !file.has(prefix + gguf_key)) continue;
    if (key == "rms_norm_eps") {
      config[key] = file.number(prefix + gguf_key);
    } else {
      config[key] = count(file, prefix + gguf_key);
    }
  }
  config["head_dim"] =
      head_dim(file, prefix, config["hidden_size"].get<int64_t>() / config["num_attention_heads"].get<int64_t>());
  config["rope_parameters"] = rope_parameters(file, prefix, config["head_dim"].get<int64_t>() / 2);
  Fields fields(config, file.path.string());
  ParsedConfig parsed = parse_model_config(architecture, fields);
  parsed.config.norm_offset = 0;  // convert_hf_to_gguf.py writes norms with the offset added
  if (static_cast<uint64_t>(parsed.config.num_hidden_layers) > file.tensors.size()) {
    refuse(file, prefix, "block_count: expected at most as many layers as tensors, ", file.tensors.size(), ", found ",
           parsed.config.num_hidden_layers);
  }
  // The rotation's frequencies of Llama 3 lie in the file as divisors (convert_hf_to_gguf.py, generate_extra_tensors).
  RotaryConfig& rotary = parsed.config.rotary;
  const std::string_view frequencies = kRotationTensors[0];
  if (file.tensors.find(frequencies) != file.tensors.end() && rotary.scaling != "longrope") {
    if (rotary.scaling != "default") refuse(file, frequencies, ": expected none beside ", prefix, "rope.scaling");
    rotary.scaling = "factors";
    rotary.factors = pair_divisors(file, frequencies, parsed.config.head_dim / 2);
  }
  if (rotary.scaling != "longrope" && file.tensors.contains("rope_factors_long.weight")) {
    refuse(file, "rope_factors_long.weight: expected none without ", prefix, "rope.scaling.type longrope");
  }
  return parsed;
}

}  // namespace loraxs
