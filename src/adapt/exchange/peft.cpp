#include "adapt/exchange/peft.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "adapt/class_names.h"
#include "adapt/head_tensors.h"
#include "adapt/site_binding.h"
#include "adapt/tensor_file.h"
#include "io/atomic_file.h"
#include "io/error.h"
#include "io/json.h"
#include "io/mapped_file.h"

namespace loraxs {
namespace {

constexpr const char* kPrefix = "base_model.model.";

/// The folder in the making: tensors and config of a PEFT adapter on one model.
class PeftFolder {
 public:
  PeftFolder(const BaseModel& model, const Bank& bank, int64_t row) : model_(model), bank_(bank), row_(row) {}

  /// With a head the model is a ForSequenceClassification, whose encoder stands under "bert."; without one an encoder
  /// is bare. A decoder's projections always stand under "model.".
  std::string module_path(const Site& site) const {
    const std::string& prefix = model_.architecture->optional_prefixes.at(0);
    const bool bare = !has_head() && model_.architecture->kind == ModelKind::kEncoder;
    return bare ? site.hf_name.substr(prefix.size()) : site.hf_name;
  }

  void add(const std::string& name, const torch::Tensor& tensor) {
    file_.add(kPrefix + name, tensor.to(torch::kFloat32));
  }

  /// lora_A and lora_B of a projection; `a` and `b` as PEFT multiplies them.
  void add_site(const Site& site, const torch::Tensor& a, const torch::Tensor& b) {
    const std::string path = module_path(site);
    ranks_[path] = a.size(0);
    add(path + ".lora_A.weight", a);
    add(path + ".lora_B.weight", b);
  }

  void add_head() {
    if (!has_head()) return;
    const HeadShape& shape = model_.architecture->head;
    for (const auto& [name, tensor] : head_tensors(*model_.architecture, bank_, row_)) add(name, tensor);
    if (shape.dense_saved == "classifier" && !bank_.layout->head.dense) {  // PEFT saves that module whole
      for (const char* kind : {".weight", ".bias"}) add(shape.dense_hf + kind, model_.weight(shape.dense + kind));
    }
  }

  /// adapter_config.json with the fields that PEFT reads. `saves_head`: the head is listed as modules_to_save.
  nlohmann::json config(bool saves_head) const {
    const Layout& layout = *bank_.layout;
    std::set<std::string> targets;
    nlohmann::json rank_pattern = nlohmann::json::object(), alpha_pattern = nlohmann::json::object();
    int64_t rank = 0;
    for (const auto& [path, own] : ranks_) rank = std::max(rank, own);
    for (const auto& [path, own] : ranks_) {
      targets.insert(path);
      if (own == rank) continue;
      rank_pattern[path] = own;
      alpha_pattern[path] = bank_.alpha(row_);
    }
    nlohmann::json saved = nullptr, task = nullptr;
    if (model_.architecture->kind == ModelKind::kDecoder) task = "CAUSAL_LM";
    if (has_head()) {
      const HeadShape& shape = model_.architecture->head;
      task = "SEQ_CLS";
      if (saves_head) saved = nlohmann::json::array({"classifier"});
      if (saves_head && layout.head.dense && shape.dense_saved != "classifier") saved.push_back(shape.dense_saved);
    }
    return {{"peft_type", "LORA"},
            {"task_type", task},
            {"base_model_name_or_path", model_.folder.string()},
            {"r", rank},
            {"lora_alpha", bank_.alpha(row_)},
            {"lora_dropout", 0.0},
            {"target_modules", targets},
            {"rank_pattern", rank_pattern},
            {"alpha_pattern", alpha_pattern},
            {"modules_to_save", saved},
            {"bias", "none"},
            {"fan_in_fan_out", false},
            {"inference_mode", true},
            {"init_lora_weights", true},
            {"use_rslora", false},
            {"use_dora", false}};
  }

  void write(const std::filesystem::path& folder, bool saves_head) const {
    file_.write(folder / "adapter_model.safetensors", {{"format", "pt"}});
    write_file_atomically(folder / "adapter_config.json", config(saves_head).dump(2) + "\n");
    if (!has_head()) return;
    // PEFT's config has no place for names of classes; the model's has: AutoConfig.from_pretrained reads it from here.
    const std::filesystem::path path = model_.folder / "config.json";
    nlohmann::ordered_json named = parse_ordered_json(MappedFile::open(path)->text(), path.string());
    add_head_to_config(named, bank_.layout->head, bank_.labels(row_), *model_.architecture);
    write_file_atomically(folder / "config.json", json_text(named, 2) + "\n");
  }

 private:
  bool has_head() const { return bank_.layout->head.kind != "none"; }

  const BaseModel& model_;
  const Bank& bank_;
  int64_t row_;
  std::map<std::string, int64_t> ranks_;  // of the projections, by module path
  TensorFile file_;
};

}  // namespace

void export_peft(const std::filesystem::path& folder, const BaseModel& model, const Basis& basis, const Bank& bank,
                 int64_t row) {
  PeftFolder peft(model, bank, row);
  for (const Site& site : bank.layout->sites) {
    const LoraForm form = lora_form(bank, row, site, basis, "peft");
    peft.add_site(site, form.a, form.b);
  }
  peft.add_head();
  write_folder_atomically(folder, [&](const std::filesystem::path& aside) { peft.write(aside, /*saves_head=*/true); });
}

void export_reference(const std::filesystem::path& folder, const BaseModel& model, const Basis& basis, const Bank& bank,
                      int64_t row) {
  const Layout& layout = *bank.layout;
  if (layout.method != "lora_xs") {
    throw Error(concat("export: reference: expected an adapter of lora_xs, found method ", layout.method,
                       "; --format peft holds it as LoRA"));
  }
  const int64_t rank = layout.largest_rank();
  for (size_t i = 0; i < layout.sites.size(); ++i) {
    if (layout.ranks[i] == rank) continue;
    throw Error(concat(layout.sites[i].name, ": expected rank ", rank, " as elsewhere, found ", layout.ranks[i],
                       "; the reference's layout has one rank; --format peft can say both"));
  }
  PeftFolder peft(model, bank, row);
  for (const Site& site : layout.sites) {
    const SiteBasis& pair = basis.at(site.name);
    peft.add_site(site, pair.a.narrow(0, 0, rank), pair.b.narrow(1, 0, rank));
    peft.add(peft.module_path(site) + "_lora_latent_mapping.weight",
             segment_value(bank, row, *layout.find(site.name + ".r")));
  }
  peft.add_head();
  const nlohmann::json reconstruction = {{"reconstruction_type", "svd"},
                                         {"reconstr_mode", "separated"},
                                         {"half_init_dec", false},
                                         {"replacement_module_random_init", false},
                                         {"r_squared", true},
                                         {"svd", {{"n_iter", 10}, {"random_state", 42}, {"rank", rank}}}};
  write_folder_atomically(folder, [&](const std::filesystem::path& aside) {
    std::filesystem::create_directory(aside / "ft");
    peft.write(aside / "ft", /*saves_head=*/false);
    write_file_atomically(aside / "reconstr_config.json", reconstruction.dump(2) + "\n");
  });
}

}  // namespace loraxs
