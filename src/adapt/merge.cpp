#include "adapt/merge.h"

#include <nlohmann/json.hpp>

#include "adapt/class_names.h"
#include "adapt/head_tensors.h"
#include "adapt/site_binding.h"
#include "adapt/tensor_file.h"
#include "io/atomic_file.h"
#include "io/error.h"
#include "io/gguf.h"

namespace loraxs {
BaseModel merge_model(const BaseModel& model, const Basis& basis, const Bank& bank, int64_t row, double sign) {
  BaseModel merged = model;
  for (const Site& site : bank.layout.sites) {
    merged.replace(site.name + ".weight", merged_weight(model.site_weight(site), bank, row, site, basis, sign));
    const LayoutSegment* bias = bank.layout.find(site.name + ".bias");
    if (bias == nullptr) continue;
    merged.replace(site.name + ".bias",
                   segment_value(bank, row, *bias).to(model.weight(site.name + ".bias").scalar_type()));
  }
  merged.base_id = compute_base_id(merged);
  return merged;
}

void write_model_folder(const std::filesystem::path& folder, const BaseModel& merged, const Bank* head_bank,
                        int64_t row, std::optional<torch::ScalarType> dtype, Existing existing) {
  if (is_gguf_path(merged.folder)) {
    throw Error(concat(merged.folder.string(), ": expected a Hugging Face folder, whose config and tokenizer a merged ",
                       "model takes over, found a GGUF file"));
  }
  const HeadLayout* head =
      head_bank != nullptr && head_bank->layout.head.kind != "none" ? &head_bank->layout.head : nullptr;
  // Hugging Face's ForSequenceClassification prefixes the encoder; keep a bare encoder's own names.
  const std::string prefix = head != nullptr && !merged.architecture->optional_prefixes.empty()
                                 ? merged.architecture->optional_prefixes[0]
                                 : "";
  TensorFile file;
  const auto add = [&](const std::string& name, const torch::Tensor& tensor) {
    file.add(name, dtype ? tensor.to(*dtype) : tensor);
  };
  for (const auto& [canonical, tensor] : merged.weights) {
    const std::string& stored = merged.stored_names.at(canonical);
    add(stored.starts_with(prefix) || canonical.starts_with("head.") ? stored : prefix + stored, tensor);
  }
  nlohmann::json config = read_json(merged.folder / "config.json");
  if (dtype) {  // transformers 5 writes dtype, older ones torch_dtype
    const std::string name = *dtype == torch::kBFloat16  ? "bfloat16"
                             : *dtype == torch::kFloat16 ? "float16"
                                                         : "float32";
    config[config.contains("torch_dtype") ? "torch_dtype" : "dtype"] = name;
  }
  if (head != nullptr) {
    for (const auto& [name, tensor] : head_tensors(*merged.architecture, *head_bank, row)) add(name, tensor);
    add_head_to_config(config, *head, *merged.architecture);
  }
  const auto fill = [&](const std::filesystem::path& aside) {
    file.write(aside / "model.safetensors", {{"format", "pt"}});
    write_file_atomically(aside / "config.json", config.dump(2) + "\n");
    for (const char* name : {"tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json",
                             "vocab.json", "merges.txt", "sentencepiece.bpe.model", "tokenizer.model"}) {
      if (std::filesystem::exists(merged.folder / name)) {
        write_file_atomically(aside / name, MappedFile::open(merged.folder / name)->text());
      }
    }
  };
  write_folder_atomically(folder, fill, existing);
}

void copy_model_folder(const std::filesystem::path& from, const std::filesystem::path& folder) {
  write_folder_atomically(folder, [&](const std::filesystem::path& aside) {
    for (const auto& entry : std::filesystem::directory_iterator(from)) {
      const std::string extension = entry.path().extension().string();
      const bool belongs =
          extension == ".safetensors" || extension == ".json" || extension == ".txt" || extension == ".model";
      if (belongs && entry.is_regular_file()) std::filesystem::copy_file(entry, aside / entry.path().filename());
    }
  });
}

}  // namespace loraxs
