#include "adapt/exchange/peft.h"

#include <nlohmann/json.hpp>
#include <set>

#include "adapt/head_tensors.h"
#include "adapt/site_binding.h"
#include "io/atomic_file.h"
#include "io/error.h"
#include "io/safetensors.h"

namespace loraxs {

void export_peft(const std::filesystem::path& folder, const BaseModel& model, const Basis& basis, const Bank& bank,
                 int64_t row) {
  const Layout& layout = bank.layout;
  std::map<std::string, torch::Tensor> kept;
  std::map<std::string, TensorBytes> tensors;
  const auto add = [&](const std::string& name, const torch::Tensor& tensor) {
    const torch::Tensor& stored = kept[name] = tensor.to(torch::kFloat32).contiguous();
    tensors[name] = {.dtype = Dtype::kFloat32,
                     .shape = stored.sizes().vec(),
                     .bytes = std::as_bytes(std::span(stored.const_data_ptr<float>(), stored.numel()))};
  };
  const bool has_head = layout.head.kind != "none";
  // With a head the model is a ForSequenceClassification, whose encoder stands under "bert."; without one it is bare.
  // A decoder is a ForCausalLM.
  const bool decoder = model.architecture->kind == ModelKind::kDecoder;
  const std::string& prefix = model.architecture->optional_prefixes.at(0);
  const auto module_path = [&](const Site& site) {
    return has_head || decoder ? site.hf_name : site.hf_name.substr(prefix.size());
  };
  std::set<std::string> targets;
  nlohmann::json rank_pattern = nlohmann::json::object(), alpha_pattern = nlohmann::json::object();
  const MethodTraits& traits = find_method(layout.method, "export").traits;
  if (traits.owns_weight) {
    throw Error(concat("export: peft: expected an adapter that adds to the weights, found method ", layout.method,
                       ", which replaces them; write a model folder with loraxs merge"));
  }
  const int64_t rank = layout.largest_rank() * (traits.residual ? 2 : 1);
  for (const Site& site : layout.sites) {
    const LowRankForm form = low_rank_form(bank, row, site, basis);  // ΔW = b a
    const int64_t site_rank = form.a.size(0);
    const double scale = bank.alpha / static_cast<double>(site_rank);  // that PEFT multiplies with
    add("base_model.model." + module_path(site) + ".lora_A.weight", form.a);
    add("base_model.model." + module_path(site) + ".lora_B.weight", form.b / scale);
    targets.insert(module_path(site));
    if (site_rank != rank) {
      rank_pattern[module_path(site)] = site_rank;
      alpha_pattern[module_path(site)] = bank.alpha;
    }
  }
  nlohmann::json modules_to_save = nullptr;
  if (has_head) {
    const HeadShape& shape = model.architecture->head;
    modules_to_save = nlohmann::json::array({"classifier"});
    for (const auto& [name, tensor] : head_tensors(*model.architecture, bank, row))
      add("base_model.model." + name, tensor);
    if (shape.dense_saved == "classifier" && !layout.head.dense) {  // PEFT saves that module whole
      for (const char* kind : {".weight", ".bias"})
        add("base_model.model." + shape.dense_hf + kind, model.weight(shape.dense + kind));
    }
    if (layout.head.dense && shape.dense_saved != "classifier") modules_to_save.push_back(shape.dense_saved);
  }
  const nlohmann::json config = {{"peft_type", "LORA"},
                                 {"task_type", has_head  ? nlohmann::json("SEQ_CLS")
                                               : decoder ? nlohmann::json("CAUSAL_LM")
                                                         : nlohmann::json(nullptr)},
                                 {"base_model_name_or_path", model.folder.string()},
                                 {"r", rank},
                                 {"lora_alpha", bank.alpha},
                                 {"lora_dropout", 0.0},
                                 {"target_modules", targets},
                                 {"rank_pattern", rank_pattern},
                                 {"alpha_pattern", alpha_pattern},
                                 {"modules_to_save", modules_to_save},
                                 {"bias", "none"},
                                 {"fan_in_fan_out", false},
                                 {"inference_mode", true},
                                 {"init_lora_weights", true},
                                 {"use_rslora", false},
                                 {"use_dora", false}};
  write_folder_atomically(folder, [&](const std::filesystem::path& aside) {
    write_safetensors(aside / "adapter_model.safetensors", tensors, {{"format", "pt"}});
    write_file_atomically(aside / "adapter_config.json", config.dump(2) + "\n");
  });
}

}  // namespace loraxs
