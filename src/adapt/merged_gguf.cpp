#include "adapt/merged_gguf.h"

#include "adapt/site_binding.h"
#include "io/error.h"
#include "io/gguf.h"
#include "model/gguf_model.h"
#include "ops/block_quantize.h"

namespace loraxs {
namespace {

std::vector<std::byte> stored_bytes(const GgufTensor& tensor) { return {tensor.bytes.begin(), tensor.bytes.end()}; }

}  // namespace

void write_merged_gguf(const std::filesystem::path& path, const BaseModel& model, const Basis& basis, const Bank& bank,
                       int64_t row, std::optional<BlockType> type) {
  TORCH_CHECK(!type || is_writable(*type), "write_merged_gguf: a type that is not written");
  const Gguf file = read_gguf(model.folder);
  std::map<std::string, const Site*> adapted;  // by the tensor's name
  const std::map<std::string, std::string> names = gguf_weight_names(*model.architecture, model.config);
  for (const Site& site : bank.layout->sites) {
    adapted[names.at(site.name + ".weight")] = &site;
    if (bank.layout->find(site.name + ".bias") != nullptr) {
      throw Error(concat(path.string(), ": expected an adapter without biases, found method ", bank.layout->method,
                         " with a bias of ", site.name, "; merge it into a Hugging Face folder"));
    }
  }
  std::vector<std::pair<std::string, std::string>> metadata;
  for (const auto& [key, value] : file.metadata) {
    if (key == "general.alignment") continue;  // the writer's own
    if (key == "general.file_type" && type) {
      metadata.emplace_back(key, gguf_uint32(gguf_file_type(*type)));
    } else {
      const auto* bytes = reinterpret_cast<const char*>(value.encoded.data());
      metadata.emplace_back(key, std::string(bytes, value.encoded.size()));
    }
  }
  std::vector<GgufTensorSource> tensors;
  for (const auto& [name, tensor] : file.tensors) {
    const auto site = adapted.find(name);
    const bool is_matrix = tensor.shape.size() > 1;
    const BlockType written = type && is_matrix ? written_type(tensor.shape, *type) : tensor.type;
    GgufTensorSource source{.name = name, .type = written, .shape = tensor.shape};
    if (site != adapted.end()) {
      if (!is_writable(written) || (!type && block_type_info(written).block_elements > 1)) {
        throw Error(concat(model.folder.string(), ": ", name, ": expected F32, F16 or BF16 to merge into, found ",
                           block_type_info(tensor.type).name, "; --dtype ", writable_type_names(),
                           " unpacks the model and writes it so"));
      }
      source.bytes = [&model, &basis, &bank, row, written, site = *site->second] {
        const torch::Tensor weight = merged_weight(model.site_weight(site).to(torch::kFloat32), bank, row, site, basis);
        const int64_t heads =
            interleaved_heads(*model.architecture, model.config, site.name + ".weight", site.out_features);
        return quantize_blocks(written, to_stored_rows(weight, heads));
      };
    } else if (written != tensor.type) {
      source.bytes = [&tensor = tensor, written] {  // in the file's own order of rows
        return quantize_blocks(written,
                               dequantize({.type = tensor.type, .shape = tensor.shape, .bytes = tensor.bytes}));
      };
    } else {
      source.bytes = [&tensor = tensor] { return stored_bytes(tensor); };
    }
    tensors.push_back(std::move(source));
  }
  write_gguf(path, metadata, tensors);
}

}  // namespace loraxs
