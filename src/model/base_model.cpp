#include "model/base_model.h"

#include <sys/stat.h>

#include <algorithm>

#include "io/atomic_file.h"
#include "io/error.h"
#include "io/gguf.h"
#include "io/sha256.h"
#include "model/gguf_model.h"

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
    case Dtype::kOther:
      break;
  }
  return torch::kFloat32;
}

/// What identifies the weight files without reading them.
std::string file_stamp(const std::filesystem::path& folder_or_gguf) {
  std::vector<std::string> lines;
  const auto add = [&](const std::filesystem::path& path) {
    struct stat s {};
    if (stat(path.c_str(), &s) != 0) return;
    lines.push_back(concat(std::filesystem::absolute(path).string(), " ", s.st_size, " ", s.st_mtim.tv_sec, ".",
                           s.st_mtim.tv_nsec, " ", s.st_ino));
  };
  if (is_gguf_path(folder_or_gguf)) {
    add(folder_or_gguf);
  } else {
    for (const auto& entry : std::filesystem::directory_iterator(folder_or_gguf)) {
      if (entry.path().extension() == ".safetensors" || entry.path().filename() == "config.json") add(entry.path());
    }
  }
  std::sort(lines.begin(), lines.end());
  std::string all;
  for (const std::string& line : lines) all += line + "\n";
  return sha256_hex(all);
}

std::string cached_base_id(const BaseModel& model, const std::filesystem::path& cache_folder) {
  if (cache_folder.empty()) return compute_base_id(model);
  const std::filesystem::path path = cache_folder / ("base-" + file_stamp(model.folder).substr(0, 32) + ".id");
  constexpr size_t kDigestLength = 64;
  if (std::filesystem::exists(path)) {
    const auto file = MappedFile::open(path);
    if (file->text().size() == kDigestLength) return std::string(file->text());
  }
  const std::string id = compute_base_id(model);
  model.release_pages();
  try {
    std::filesystem::create_directories(cache_folder);
    write_file_atomically(path, id, Existing::kReplaced);
  } catch (const std::exception&) {
    return id;  // a cache that cannot be written costs time, not correctness
  }
  return id;
}

/// Norms as the first checkpoints of TensorFlow called their tensors; transformers renames them when it reads.
constexpr std::pair<std::string_view, std::string_view> kOldNames[] = {{"LayerNorm.weight", "LayerNorm.gamma"},
                                                                       {"LayerNorm.bias", "LayerNorm.beta"}};

/// The name under which the checkpoint holds a tensor of Hugging Face's name; null: it does not.
const std::string* find_tensor(const Safetensors& file, const Architecture& architecture, const std::string& hf) {
  std::vector<std::string> prefixes = architecture.optional_prefixes;
  prefixes.emplace_back("");
  std::vector<std::string> names = {hf};
  for (const auto& [name, old] : kOldNames) {
    if (hf.ends_with(name)) names.push_back(hf.substr(0, hf.size() - name.size()) + std::string(old));
  }
  for (const std::string& name : names) {
    for (const std::string& prefix : prefixes) {
      const auto found = file.tensors.find(prefix + name);
      if (found != file.tensors.end()) return &found->first;
    }
  }
  return nullptr;
}

/// True where a decoder's checkpoint brings a language head of its own: then it counts, whatever the config says of
/// tying. A copy of the word embeddings is none.
bool has_own_head(const Safetensors& file, const Architecture& architecture) {
  const auto hf_name = [&](const std::string& canonical) {
    for (const auto& [name, hf] : architecture.weight_names) {
      if (name == canonical) return find_tensor(file, architecture, hf);
    }
    return static_cast<const std::string*>(nullptr);
  };
  const std::string *head = hf_name("lm_head.weight"), *words = hf_name("embeddings.word.weight");
  if (head == nullptr || words == nullptr) return false;
  const TensorView &x = file.tensors.at(*head), &y = file.tensors.at(*words);
  return x.dtype_text != y.dtype_text || x.shape != y.shape || !std::ranges::equal(x.bytes, y.bytes);
}

}  // namespace

torch::Tensor view_tensor(const TensorView& view) {
  if (view.dtype == Dtype::kOther) {
    throw Error(concat(view.file ? view.file->path().string() + ": " : "", "dtype: expected F64 F32 F16 BF16 I64 I32 ",
                       "I16 I8 U8 or BOOL of a tensor that is needed, found ", view.dtype_text));
  }
  auto file = view.file;
  void* data =
      const_cast<std::byte*>(view.bytes.data());  // from_blob has no const form; nobody writes to frozen weights
  return torch::from_blob(
      data, view.shape, [file](void*) {}, torch::TensorOptions().dtype(scalar_type(view.dtype)));
}

torch::Tensor BaseModel::weight(const std::string& canonical) const {
  if (const auto found = weights.find(canonical); found != weights.end()) return found->second;
  return dequantize(stored(canonical));
}

BlockTensor BaseModel::stored(const std::string& canonical) const {
  if (const auto found = blocks.find(canonical); found != blocks.end()) return found->second;
  const auto found = weights.find(canonical);
  if (found == weights.end()) {
    throw Error(concat(folder.string(), ": the checkpoint has no ", canonical, ", which this use of the model needs"));
  }
  const bool is_half = found->second.scalar_type() == torch::kFloat16;
  const bool is_brain = found->second.scalar_type() == torch::kBFloat16;
  auto tensor = std::make_shared<torch::Tensor>(found->second.contiguous());
  if (!is_half && !is_brain) *tensor = tensor->to(torch::kFloat32);
  BlockTensor block{.type = is_half    ? BlockType::kF16
                            : is_brain ? BlockType::kBF16
                                       : BlockType::kF32,
                    .shape = tensor->sizes().vec(),
                    .bytes = std::span(static_cast<const std::byte*>(tensor->const_data_ptr()), tensor->nbytes())};
  block.owner = std::move(tensor);
  return block;
}

void BaseModel::release_pages() const {
  for (const auto& file : files) file->release_pages();
}

void BaseModel::replace(const std::string& canonical, const torch::Tensor& value) {
  blocks.erase(canonical);
  weights[canonical] = value;
}

std::string compute_base_id(const BaseModel& model) {
  Sha256 digest;
  digest.update(model.config.canonical());
  const auto add = [&](const auto&... header_and_bytes) { (digest.update(header_and_bytes), ...); };
  std::set<std::string> names;
  for (const auto& [name, tensor] : model.weights) names.insert(name);
  for (const auto& [name, block] : model.blocks) names.insert(name);
  for (const std::string& name : names) {
    if (const auto found = model.blocks.find(name); found != model.blocks.end()) {
      const BlockTensor& block = found->second;
      add(concat("\n", name, " ", block_type_info(block.type).name, " ", at::IntArrayRef(block.shape), "\n"),
          block.bytes);
      continue;
    }
    const torch::Tensor tensor = model.weights.at(name).contiguous();
    add(concat("\n", name, " ", tensor.scalar_type(), " ", tensor.sizes(), "\n"),
        std::span(static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()));
  }
  return digest.hex();
}

BaseModel load_base_model(const std::filesystem::path& folder, const std::filesystem::path& cache_folder,
                          const ReadingOptions& reading) {
  if (is_gguf_path(folder)) {
    BaseModel model = read_gguf_model(folder, reading);
    model.base_id = cached_base_id(model, cache_folder);
    return model;
  }
  if (!std::filesystem::is_directory(folder)) {
    throw Error(concat(folder.string(), ": expected a Hugging Face model folder or a .gguf file, found ",
                       std::filesystem::exists(folder) ? "a file" : "nothing there",
                       "; to fetch one: huggingface-cli download NAME --local-dir ", folder.string()));
  }
  BaseModel model;
  const ParsedConfig parsed = read_model_config(folder, reading);
  model.folder = folder;
  model.reading = reading;
  model.architecture = parsed.architecture;
  model.config = parsed.config;
  const Safetensors file = read_safetensors_folder(folder);

  const auto find = [&](const std::string& hf) { return find_tensor(file, *model.architecture, hf); };
  if (model.config.tie_word_embeddings && has_own_head(file, *model.architecture)) {
    model.config.tie_word_embeddings = false;
  }
  for (const auto& [canonical, hf] :
       list_weights(*model.architecture, model.config, model.architecture->weight_names)) {
    const std::string* name = find(hf);
    if (name == nullptr) {
      const auto& optional = model.architecture->optional_weights;
      if (std::find(optional.begin(), optional.end(), canonical) != optional.end()) continue;
      throw Error(concat(file.path.string(), ": expected a tensor ", hf, ", found none of that name"));
    }
    const TensorView& view = file.tensors.at(*name);
    const std::vector<int64_t> shape = weight_shape(*model.architecture, model.config, canonical);
    if (view.shape != shape) {
      throw Error(concat(file.path.string(), ": ", *name, ": expected shape ", at::IntArrayRef(shape),
                         " after config.json, found ", at::IntArrayRef(view.shape)));
    }
    if (view.dtype != Dtype::kFloat32 && view.dtype != Dtype::kFloat16 && view.dtype != Dtype::kBFloat16 &&
        view.dtype != Dtype::kFloat64) {
      throw Error(concat(file.path.string(), ": ", *name, ": expected F64, F32, F16 or BF16, found ", view.dtype_text));
    }
    model.weights[canonical] = view_tensor(view);
    model.files.insert(view.file);
    model.stored_names[canonical] = *name;
  }
  model.base_id = cached_base_id(model, cache_folder);
  return model;
}

}  // namespace loraxs
