#include "adapt/merge.h"

#include <nlohmann/json.hpp>

#include "adapt/class_names.h"
#include "adapt/head_tensors.h"
#include "adapt/model_files.h"
#include "adapt/site_binding.h"
#include "adapt/tensor_file.h"
#include "io/atomic_file.h"
#include "io/error.h"
#include "io/gguf.h"
#include "io/json.h"

namespace loraxs {
namespace {

const char* dtype_text(torch::ScalarType dtype) {
  return dtype == torch::kBFloat16 ? "bfloat16" : dtype == torch::kFloat16 ? "float16" : "float32";
}

/// Whether the weights hold a language head beside the word embeddings that is not the same matrix.
bool has_own_language_head(const BaseModel& model) {
  return model.has("lm_head.weight") && !model.weight("lm_head.weight").equal(model.weight("embeddings.word.weight"));
}

/// The text of config.json beside the merged weights.
/// `head`: the bank whose row `row` has the head that goes with them; null: none.
std::string merged_config(const BaseModel& merged, const Bank* head, int64_t row,
                          std::optional<torch::ScalarType> dtype) {
  const std::filesystem::path path = merged.folder / "config.json";
  const auto file = MappedFile::open(path);
  nlohmann::ordered_json config = parse_ordered_json(file->text(), path.string());
  const nlohmann::ordered_json before = config;
  if (dtype) config[config.contains("torch_dtype") ? "torch_dtype" : "dtype"] = dtype_text(*dtype);  // transformers < 5
  if (config.contains("tie_word_embeddings") && config["tie_word_embeddings"] == true &&
      has_own_language_head(merged)) {
    config["tie_word_embeddings"] = false;
  }
  if (head != nullptr) add_head_to_config(config, head->layout->head, head->labels(row), *merged.architecture);
  return config == before ? std::string(file->text()) : json_text(config, 2) + "\n";
}

}  // namespace

BaseModel merge_model(const BaseModel& model, const Basis& basis, const Bank& bank, int64_t row, double sign) {
  BaseModel merged = model;
  for (const Site& site : bank.layout->sites) {
    merged.replace(site.name + ".weight", merged_weight(model.site_weight(site), bank, row, site, basis, sign));
    const LayoutSegment* bias = bank.layout->find(site.name + ".bias");
    if (bias == nullptr) continue;
    merged.replace(site.name + ".bias",
                   segment_value(bank, row, *bias).to(model.weight(site.name + ".bias").scalar_type()));
  }
  merged.base_id = compute_base_id(merged);
  return merged;
}

std::vector<std::string> write_model_folder(const std::filesystem::path& folder, const BaseModel& merged,
                                            const Bank* head_bank, int64_t row, std::optional<torch::ScalarType> dtype,
                                            Existing existing) {
  if (is_gguf_path(merged.folder)) {
    throw Error(concat(merged.folder.string(), ": expected a Hugging Face folder, whose config and tokenizer a merged ",
                       "model takes over, found a GGUF file"));
  }
  const Bank* head = head_bank != nullptr && head_bank->layout->head.kind != "none" ? head_bank : nullptr;
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
  if (head != nullptr) {
    for (const auto& [name, tensor] : head_tensors(*merged.architecture, *head_bank, row)) add(name, tensor);
  }
  std::vector<std::string> left_out;
  const auto fill = [&](const std::filesystem::path& aside) {
    left_out = copy_model_files(merged.folder, aside, ModelFiles::kButWeights);
    file.write(aside / "model.safetensors", {{"format", "pt"}});
    write_file_atomically(aside / "config.json", merged_config(merged, head, row, dtype));
  };
  write_folder_atomically(folder, fill, existing);
  return left_out;
}

void copy_model_folder(const std::filesystem::path& from, const std::filesystem::path& folder) {
  write_folder_atomically(folder,
                          [&](const std::filesystem::path& aside) { copy_model_files(from, aside, ModelFiles::kAll); });
}

}  // namespace loraxs
