#include "api/classifier.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "adapt/class_names.h"
#include "adapt/head_tensors.h"
#include "io/error.h"
#include "io/gguf.h"
#include "io/json.h"
#include "io/safetensors.h"

namespace loraxs {
namespace {

/// That config.json speaks of a head of one label for each text.
void check_kind(const nlohmann::json& config, const Architecture& family, const std::string& where) {
  const std::string& wanted = family.head.model_class;
  const nlohmann::json classes = config.value("architectures", nlohmann::json::array());
  if (!classes.empty() && std::find(classes.begin(), classes.end(), wanted) == classes.end()) {
    throw Error(concat(where, ": architectures: expected ", wanted, ", found ", shortened(classes.dump(), 80),
                       "; name an adapter with --adapter"));
  }
  const nlohmann::json problem = config.value("problem_type", nlohmann::json());
  if (problem == "multi_label_classification") {
    throw Error(concat(where, ": problem_type: expected one label for each text, found multi_label_classification"));
  }
}

/// Values of the head's segments, as the folder has them.
void read_head(const BaseModel& model, const Safetensors& file, Bank& bank) {
  for (const LayoutSegment& segment : bank.layout->segments) {
    const std::string name = head_tensor_name(*model.architecture, segment);
    const auto found = file.tensors.find(name);
    if (found == file.tensors.end()) {
      throw Error(concat(model.folder.string(), ": ", name,
                         ": expected a tensor of the classification head, found none; "
                         "name an adapter with --adapter"));
    }
    const torch::Tensor value = view_tensor(found->second);
    if (value.sizes() != at::IntArrayRef(segment.shape)) {
      throw Error(concat(model.folder.string(), ": ", name, ": expected shape ", at::IntArrayRef(segment.shape),
                         ", found ", value.sizes()));
    }
    segment_value(bank, 0, segment).copy_(value.to(torch::kFloat32));
  }
}

}  // namespace

OpenedAdapter open_classifier(const std::filesystem::path& folder, const OpenOptions& options,
                              const Settings& settings) {
  torch::NoGradGuard no_grad;
  OpenedAdapter opened{.model = open_model(folder, settings), .memory = options.memory, .device = options.device};
  const Architecture& family = *opened.model.architecture;
  const std::string where = (folder / "config.json").string();
  if (family.kind != ModelKind::kEncoder || is_gguf_path(folder)) {
    throw Error(concat(folder.string(), ": expected an encoder with a classification head, found ", family.model_type,
                       "; name an adapter with --adapter"));
  }
  const nlohmann::json config = read_json(folder / "config.json");
  check_kind(config, family, where);
  const Safetensors file = read_safetensors_folder(folder);
  const std::string weight = family.head.output_hf + ".weight";
  const auto found = file.tensors.find(weight);
  if (found == file.tensors.end() || found->second.shape.empty()) {
    throw Error(concat(folder.string(), ": ", weight,
                       ": expected a tensor of the classification head, found none; name an "
                       "adapter with --adapter"));
  }
  const int64_t outputs = found->second.shape.front();
  const bool regression = outputs == 1;
  std::vector<std::string> labels = regression ? std::vector<std::string>() : class_names_in(folder, outputs);
  if (!regression && labels.empty()) {
    if (config.contains("id2label")) {
      throw Error(
          concat(where, ": id2label: expected the names of ", outputs, " classes, as ", weight, " has, found others"));
    }
    labels = numbered_classes(outputs);
  }
  const HeadLayout head = make_head("full", outputs, regression, family, where);
  opened.file.path = folder;
  opened.basis = std::make_shared<Basis>();
  opened.bank = std::make_shared<Bank>(
      make_bank(make_layout("lora", {}, std::vector<int64_t>(), head, opened.model.config.hidden_size, folder.string()),
                /*alpha=*/1, 1));
  opened.bank->set_labels(0, labels);
  opened.file.labels = std::move(labels);
  read_head(opened.model, file, *opened.bank);
  return opened;
}

}  // namespace loraxs
