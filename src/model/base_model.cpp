#include "model/base_model.h"

#include <sys/stat.h>

#include <algorithm>

#include "io/atomic_file.h"
#include "io/error.h"
#include "io/sha256.h"

namespace loraxs {
namespace {

torch::ScalarType scalar_type(Dtype dtype) {
  switch (dtype) {
    case Dtype::kFloat64:
      return torch::kFloat64;
    case Dtype::kFloat32:
      return torch::kFloat32;
    case Dtype::kFloat16:
      return torch::kFloat16;
    case Dtype::kBFloat16:
      return torch::kBFloat16;
    case Dtype::kInt64:
      return torch::kInt64;
    case Dtype::kInt32:
      return torch::kInt32;
    case Dtype::kInt16:
      return torch::kInt16;
    case Dtype::kInt8:
      return torch::kInt8;
    case Dtype::kUInt8:
      return torch::kUInt8;
    case Dtype::kBool:
      return torch::kBool;
  }
  return torch::kFloat32;
}

/// Expected shape of a canonical weight, from the config.
std::vector<int64_t> expected_shape(const BaseModel& model, const std::string& canonical) {
  const ModelConfig& c = model.config;
  if (canonical == "embeddings.word.weight" || canonical == "lm_head.weight") return {c.vocab_size, c.hidden_size};
  if (canonical == "embeddings.position.weight") return {c.max_position_embeddings, c.hidden_size};
  if (canonical == "embeddings.token_type.weight") return {c.type_vocab_size, c.hidden_size};
  if (canonical == "pooler.weight" || canonical == "head.dense.weight") return {c.hidden_size, c.hidden_size};
  for (const Site& site : list_sites(*model.architecture, c)) {
    if (canonical == site.name + ".weight") return {site.out_features, site.in_features};
    if (canonical == site.name + ".bias") return {site.out_features};
  }
  return {c.hidden_size};  // norms and their biases, the bias of the head's dense layer
}

/// What identifies the weight files without reading them.
std::string file_stamp(const std::filesystem::path& folder) {
  std::vector<std::string> lines;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const auto extension = entry.path().extension();
    if (extension != ".safetensors" && entry.path().filename() != "config.json") continue;
    struct stat s {};
    if (stat(entry.path().c_str(), &s) != 0) continue;
    lines.push_back(concat(std::filesystem::absolute(entry.path()).string(), " ", s.st_size, " ", s.st_mtim.tv_sec, ".",
                           s.st_mtim.tv_nsec, " ", s.st_ino));
  }
  std::sort(lines.begin(), lines.end());
  std::string all;
  for (const std::string& line : lines) all += line + "\n";
  return sha256_hex(all);
}

std::string cached_base_id(const BaseModel& model, const std::filesystem::path& cache_folder) {
  if (cache_folder.empty()) return compute_base_id(model.config, model.weights);
  const std::filesystem::path path = cache_folder / ("base-" + file_stamp(model.folder).substr(0, 32) + ".id");
  constexpr size_t kDigestLength = 64;
  if (std::filesystem::exists(path)) {
    const auto file = MappedFile::open(path);
    if (file->text().size() == kDigestLength) return std::string(file->text());
  }
  const std::string id = compute_base_id(model.config, model.weights);
  try {
    std::filesystem::create_directories(cache_folder);
    write_file_atomically(path, id);
  } catch (const std::exception&) {
    return id;  // a cache that cannot be written costs time, not correctness
  }
  return id;
}

}  // namespace

torch::Tensor view_tensor(const TensorView& view) {
  auto file = view.file;
  void* data =
      const_cast<std::byte*>(view.bytes.data());  // from_blob has no const form; nobody writes to frozen weights
  return torch::from_blob(
      data, view.shape, [file](void*) {}, torch::TensorOptions().dtype(scalar_type(view.dtype)));
}

const torch::Tensor& BaseModel::weight(const std::string& canonical) const {
  const auto found = weights.find(canonical);
  if (found != weights.end()) return found->second;
  throw Error(concat(folder.string(), ": the checkpoint has no ", canonical, ", which this use of the model needs"));
}

std::string compute_base_id(const ModelConfig& config, const std::map<std::string, torch::Tensor>& weights) {
  Sha256 digest;
  digest.update(config.canonical());
  for (const auto& [name, tensor] : weights) {
    const torch::Tensor contiguous = tensor.contiguous();
    digest.update(concat("\n", name, " ", contiguous.scalar_type(), " ", contiguous.sizes(), "\n"));
    digest.update(std::span(static_cast<const std::byte*>(contiguous.const_data_ptr()), contiguous.nbytes()));
  }
  return digest.hex();
}

BaseModel load_base_model(const std::filesystem::path& folder, const std::filesystem::path& cache_folder) {
  if (!std::filesystem::is_directory(folder)) {
    throw Error(concat(folder.string(), ": expected a Hugging Face model folder, found ",
                       std::filesystem::exists(folder) ? "a file" : "nothing there",
                       "; to fetch one: huggingface-cli download NAME --local-dir ", folder.string()));
  }
  BaseModel model;
  const ParsedConfig parsed = read_model_config(folder);
  model.folder = folder;
  model.architecture = parsed.architecture;
  model.config = parsed.config;
  const Safetensors file = read_safetensors_folder(folder);

  std::vector<std::string> prefixes = model.architecture->optional_prefixes;
  prefixes.emplace_back("");
  const auto find = [&](const std::string& hf) -> const std::string* {
    for (const std::string& prefix : prefixes) {
      const auto found = file.tensors.find(prefix + hf);
      if (found != file.tensors.end()) return &found->first;
    }
    return nullptr;
  };
  for (const auto& [canonical_pattern, hf_pattern] : model.architecture->weight_names) {
    if (model.architecture->has_weight && !model.architecture->has_weight(model.config, canonical_pattern)) continue;
    const bool per_layer = canonical_pattern.find("{}") != std::string::npos;
    for (int64_t layer = 0; layer < (per_layer ? model.config.num_hidden_layers : 1); ++layer) {
      const auto fill = [&](std::string pattern) {
        if (per_layer) pattern.replace(pattern.find("{}"), 2, std::to_string(layer));
        return pattern;
      };
      const std::string canonical = fill(canonical_pattern), hf = fill(hf_pattern);
      const std::string* name = find(hf);
      if (name == nullptr) {
        const auto& optional = model.architecture->optional_weights;
        if (std::find(optional.begin(), optional.end(), canonical) != optional.end()) continue;
        throw Error(concat(file.path.string(), ": expected a tensor ", hf, ", found none of that name"));
      }
      const TensorView& view = file.tensors.at(*name);
      const std::vector<int64_t> shape = expected_shape(model, canonical);
      if (view.shape != shape) {
        throw Error(concat(file.path.string(), ": ", *name, ": expected shape ", at::IntArrayRef(shape),
                           " after config.json, found ", at::IntArrayRef(view.shape)));
      }
      if (view.dtype != Dtype::kFloat32 && view.dtype != Dtype::kFloat16 && view.dtype != Dtype::kBFloat16 &&
          view.dtype != Dtype::kFloat64) {
        throw Error(concat(file.path.string(), ": ", *name, ": expected F64, F32, F16 or BF16, found ",
                           dtype_name(view.dtype)));
      }
      model.weights[canonical] = view_tensor(view);
      model.stored_names[canonical] = *name;
    }
  }
  model.base_id = cached_base_id(model, cache_folder);
  return model;
}

}  // namespace loraxs
