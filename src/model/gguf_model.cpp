#include "model/gguf_model.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "io/error.h"

namespace loraxs {
namespace {

// The rotation's frequencies of Llama 3 lie in the file as divisors (convert_hf_to_gguf.py, generate_extra_tensors).
constexpr std::string_view kFrequencyFactors = "rope_freqs.weight";

template <typename... Parts>
[[noreturn]] void fail(const Gguf& file, const Parts&... parts) {
  throw Error(concat(file.path.string(), ": ", parts...));
}

void check_is_model(const Gguf& file) {
  if (file.has("general.type") && file.text("general.type") != "model") {
    fail(file, "general.type: expected model, found ", file.text("general.type"));
  }
  if (file.has("split.count") && file.integer("split.count") > 1) {
    fail(file, "split.count: expected the whole model, found one of ", file.integer("split.count"),
         " parts; join them with llama-gguf-split --merge");
  }
}

/// A size of the model: so small that products of two cannot overflow.
int64_t count(const Gguf& file, std::string_view key) {
  const int64_t value = file.integer(key);
  if (value < 1 || value > INT32_MAX) fail(file, key, ": expected an integer from 1 to ", INT32_MAX, ", found ", value);
  return value;
}

int64_t head_dim(const Gguf& file, const std::string& prefix, int64_t fallback) {
  int64_t result = 0;
  for (const std::string key : {"attention.key_length", "attention.value_length", "rope.dimension_count"}) {
    if (!file.has(prefix + key)) continue;
    const int64_t value = count(file, prefix + key);
    if (result != 0 && value != result) {
      fail(file, prefix, key, ": expected ", result, " like the other dimensions of a head, found ", value);
    }
    result = value;
  }
  return result == 0 ? fallback : result;
}

/// rope_parameters as config.json has them.
nlohmann::json rope_parameters(const Gguf& file, const std::string& prefix) {
  nlohmann::json rope = {{"rope_type", "default"}};
  if (file.has(prefix + "rope.freq_base")) rope["rope_theta"] = file.number(prefix + "rope.freq_base");
  if (file.has(prefix + "rope.scaling.type") && file.text(prefix + "rope.scaling.type") != "none") {
    const std::string type(file.text(prefix + "rope.scaling.type"));
    if (type != "linear") fail(file, prefix, "rope.scaling.type: expected none or linear, found ", type);
    rope["rope_type"] = type;
    rope["factor"] = file.number(prefix + "rope.scaling.factor");
  }
  return rope;
}

std::vector<float> frequency_factors(const Gguf& file, int64_t pairs) {
  const GgufTensor& tensor = file.tensor(kFrequencyFactors);
  if (tensor.type != BlockType::kF32 || tensor.shape != std::vector<int64_t>{pairs}) {
    fail(file, kFrequencyFactors, ": expected F32 [", pairs, "], found ", block_type_info(tensor.type).name, " ",
         at::IntArrayRef(tensor.shape));
  }
  std::vector<float> factors(pairs);
  std::memcpy(factors.data(), tensor.bytes.data(), tensor.bytes.size());
  for (const float factor : factors) {
    if (!(factor > 0 && std::isfinite(factor))) fail(file, kFrequencyFactors, ": expected numbers > 0, found ", factor);
  }
  return factors;
}

BlockTensor block_tensor(const Gguf& file, const std::string& name, const std::vector<int64_t>& shape) {
  const GgufTensor& tensor = file.tensor(name);
  const BlockTypeInfo& type = block_type_info(tensor.type);
  if (tensor.shape != shape) {
    fail(file, name, ": expected shape ", at::IntArrayRef(shape), " after the metadata, found ",
         at::IntArrayRef(tensor.shape));
  }
  if (!type.readable) fail(file, name, ": type: expected one of ", readable_block_types(), ", found ", type.name);
  return {.type = tensor.type, .shape = tensor.shape, .bytes = tensor.bytes, .owner = tensor.file};
}

}  // namespace

ParsedConfig read_gguf_config(const Gguf& file) {
  check_is_model(file);
  const std::string name(file.text("general.architecture"));
  const Architecture& architecture = find_gguf_architecture(name, file.path.string());
  const std::string prefix = name + ".";
  const std::vector<int64_t>& words = file.tensor("token_embd.weight").shape;
  nlohmann::json config = {{"vocab_size", words.empty() ? 0 : words[0]},
                           {"rope_parameters", rope_parameters(file, prefix)},
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
  Fields fields(config, file.path.string());
  ParsedConfig parsed = parse_model_config(architecture, fields);
  parsed.config.norm_offset = 0;  // convert_hf_to_gguf.py writes norms with the offset added
  if (static_cast<uint64_t>(parsed.config.num_hidden_layers) > file.tensors.size()) {
    fail(file, prefix, "block_count: expected at most as many layers as tensors, ", file.tensors.size(), ", found ",
         parsed.config.num_hidden_layers);
  }
  if (file.tensors.contains(kFrequencyFactors)) {
    if (parsed.config.rotary.scaling != "default") {
      fail(file, kFrequencyFactors, ": expected none beside ", prefix, "rope.scaling.type");
    }
    parsed.config.rotary.scaling = "factors";
    parsed.config.rotary.factors = frequency_factors(file, parsed.config.head_dim / 2);
  }
  return parsed;
}

BaseModel read_gguf_model(const std::filesystem::path& path) {
  const Gguf file = read_gguf(path);
  const ParsedConfig parsed = read_gguf_config(file);
  BaseModel model;
  model.folder = path;
  model.files = {file.file};
  model.architecture = parsed.architecture;
  model.config = parsed.config;
  const GgufNames& names = parsed.architecture->gguf;
  std::set<std::string_view> unused;
  for (const auto& [name, tensor] : file.tensors) unused.insert(name);
  unused.erase(kFrequencyFactors);
  for (const auto& [canonical, name] : list_weights(*model.architecture, model.config, names.weights)) {
    BlockTensor block = block_tensor(file, name, weight_shape(*model.architecture, model.config, canonical));
    block.interleaved_heads = interleaved_heads(*model.architecture, model.config, canonical, block.rows());
    model.blocks[canonical] = block;
    model.stored_names[canonical] = name;
    unused.erase(name);
  }
  if (!unused.empty()) {
    fail(file, *unused.begin(), ": expected no tensor of that name in a ", names.architecture,
         " model; is it of another architecture (biases and experts are not supported)?");
  }
  return model;
}

std::map<std::string, std::string> gguf_weight_names(const Architecture& architecture, const ModelConfig& config) {
  std::map<std::string, std::string> names;
  for (const auto& [canonical, name] : list_weights(architecture, config, architecture.gguf.weights)) {
    names[canonical] = name;
  }
  return names;
}

int64_t interleaved_heads(const Architecture& architecture, const ModelConfig& config, const std::string& canonical,
                          int64_t rows) {
  for (const std::string& module : architecture.gguf.interleaved) {
    if (canonical.ends_with("." + module + ".weight")) return rows / config.head_dim;
  }
  return 0;
}

torch::Tensor to_stored_rows(const torch::Tensor& matrix, int64_t heads) {
  if (heads == 0) return matrix.contiguous();
  const BlockTensor place{.shape = matrix.sizes().vec(), .interleaved_heads = heads};
  torch::Tensor stored = torch::empty_like(matrix, torch::MemoryFormat::Contiguous);
  std::vector<int64_t> rows(matrix.size(0));
  for (int64_t row = 0; row < matrix.size(0); ++row) rows[row] = place.stored_row(row);
  return stored.index_copy_(0, torch::tensor(rows, torch::kInt64), matrix);
}

}  // namespace loraxs
