#include "model/gguf_model.h"

#include <algorithm>
#include <set>

#include "io/error.h"

namespace loraxs {
namespace {

template <typename... Parts>
[[noreturn]] void fail(const Gguf& file, const Parts&... parts) {
  throw Error(concat(file.path.string(), ": ", parts...));
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

BaseModel read_gguf_model(const std::filesystem::path& path, const ReadingOptions& reading) {
  const Gguf file = read_gguf(path);
  const ParsedConfig parsed = read_gguf_config(file, reading);
  BaseModel model;
  model.reading = reading;
  model.folder = path;
  model.files = {file.file};
  model.architecture = parsed.architecture;
  model.config = parsed.config;
  const GgufNames& names = parsed.architecture->gguf;
  std::set<std::string_view> unused;
  for (const auto& [name, tensor] : file.tensors) unused.insert(name);
  for (const std::string_view name : kRotationTensors) unused.erase(name);
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
