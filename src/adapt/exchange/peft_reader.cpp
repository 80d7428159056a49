#include "adapt/exchange/peft_reader.h"

#include <algorithm>

#include "adapt/method.h"
#include "io/error.h"
#include "io/safetensors.h"
#include "model/base_model.h"

namespace loraxs {
namespace {

constexpr const char* kWeights = "adapter_model.safetensors";
constexpr const char* kConfig = "adapter_config.json";
constexpr const char* kOutside =
    "outside of the layers, where adapters here have no site (merge_and_unload() in PEFT, and take the saved model as "
    "base):";

/// "base_model.model.bert.encoder.layer.0.…": the module, and which of its tensors.
struct Key {
  std::string module, part;  // part: "a", "b", "r", or "" for a head's tensor, whose whole name is `module`
};

Key parse_key(std::string name) {
  for (const std::string prefix : {"base_model.model.", "base_model."}) {
    if (!name.starts_with(prefix)) continue;
    name = name.substr(prefix.size());
    break;
  }
  static const std::vector<std::pair<std::string, std::string>> endings = {
      {".lora_A.weight", "a"},
      {".lora_A.default.weight", "a"},
      {".lora_B.weight", "b"},
      {".lora_B.default.weight", "b"},
      {"_lora_latent_mapping.weight", "r"},
      {".lora_latent_mapping.weight", "r"},
      {".default_lora_latent_mapping.weight", "r"},
      {".lora_latent_mapping.default.weight", "r"}};
  // The longest ending first: ".default_lora_latent_mapping" ends with "_lora_latent_mapping" too.
  const std::pair<std::string, std::string>* best = nullptr;
  for (const auto& ending : endings) {
    if (name.ends_with(ending.first) && (best == nullptr || ending.first.size() > best->first.size())) best = &ending;
  }
  if (best != nullptr) return {.module = name.substr(0, name.size() - best->first.size()), .part = best->second};
  for (const std::string wrapper : {".modules_to_save.default", ".modules_to_save"}) {
    if (const size_t at = name.find(wrapper + "."); at != std::string::npos) name.erase(at, wrapper.size());
  }
  return {.module = name, .part = ""};
}

std::string without_prefix(const std::string& name, const Architecture& architecture) {
  for (const std::string& prefix : architecture.optional_prefixes) {
    if (name.starts_with(prefix)) return name.substr(prefix.size());
  }
  return name;
}

/// Complaints of one kind, the first few of them in full.
class Complaints {
 public:
  void add(const std::string& kind, const std::string& what) { found_[kind].push_back(what); }
  bool empty() const { return found_.empty(); }
  std::string text() const {
    const size_t shown =
        std::max<size_t>(1, 4 / std::max<size_t>(1, found_.size()));  // every kind finds room in one message
    std::string result;
    for (const auto& [kind, all] : found_) {
      result += (result.empty() ? "" : "; ") + kind + " ";
      for (size_t i = 0; i < std::min(shown, all.size()); ++i) result += (i > 0 ? ", " : "") + all[i];
      if (all.size() > shown) result += concat(" and ", all.size() - shown, " more");
    }
    return result;
  }

 private:
  std::map<std::string, std::vector<std::string>> found_;
};

std::string head_segment(const std::string& name, const HeadShape& head) {
  for (const std::string kind : {".weight", ".bias"}) {
    if (name == head.output_hf + kind) return "head.classifier" + kind;
    if (!head.dense_hf.empty() && name == head.dense_hf + kind) return "head.dense" + kind;
  }
  return "";
}

void check_shape(Complaints& complaints, const std::string& name, const torch::Tensor& tensor,
                 const std::vector<int64_t>& shape) {
  if (tensor.sizes() == at::IntArrayRef(shape)) return;
  complaints.add("misshapen:", concat(name, " ", tensor.sizes(), " instead of ", at::IntArrayRef(shape)));
}

/// Shapes, and that nothing is missing. `alone` modules bring R without its basis.
void check_module(Complaints& complaints, const std::string& name, const PeftModule& module, bool expects_r) {
  if (!module.a.defined()) complaints.add("missing:", name + ".lora_A.weight");
  if (!module.b.defined()) complaints.add("missing:", name + ".lora_B.weight");
  if (expects_r && !module.r.defined()) complaints.add("missing:", name + "_lora_latent_mapping.weight");
  if (!module.a.defined() || !module.b.defined()) return;
  if (module.a.dim() != 2 || module.a.size(0) < 1 || module.a.size(1) != module.site.in_features) {
    complaints.add("misshapen:",
                   concat(name, ".lora_A ", module.a.sizes(), " instead of [rank, ", module.site.in_features, "]"));
    return;
  }
  check_shape(complaints, name + ".lora_B", module.b, {module.site.out_features, module.rank()});
  if (module.r.defined()) {
    check_shape(complaints, name + "_lora_latent_mapping", module.r, {module.rank(), module.rank()});
  }
}

}  // namespace

bool is_peft_folder(const std::filesystem::path& folder) { return std::filesystem::exists(folder / kConfig); }

std::vector<Site> PeftAdapter::sites() const {
  std::vector<Site> sites;
  sites.reserve(modules.size());
  for (const PeftModule& module : modules) sites.push_back(module.site);
  return sites;
}

std::string PeftAdapter::head_kind(const Architecture& architecture) const {
  if (head.empty()) return "none";
  const bool dense = head.contains("head.dense.weight");
  if (architecture.head.dense_pretrained) return dense ? "pooler" : "full";
  return dense ? "full" : "output";
}

PeftAdapter read_peft(const std::filesystem::path& folder, const Architecture& architecture,
                      const ModelConfig& model_config) {
  if (!is_peft_folder(folder)) {
    throw Error(concat(folder.string(), ": expected an adapter folder of PEFT with ", kConfig, ", found ",
                       std::filesystem::exists(folder) ? "none in it" : "nothing there"));
  }
  const PeftConfig config(folder / kConfig, architecture);
  const std::filesystem::path path = folder / kWeights;
  if (!std::filesystem::exists(path)) {
    throw Error(concat(folder.string(), ": expected ", kWeights, ", found none",
                       std::filesystem::exists(folder / "adapter_model.bin")
                           ? "; adapter_model.bin is a pickle: load it with PEFT and save_pretrained it again"
                           : ""));
  }
  const Safetensors file = read_safetensors(path);
  const std::vector<Site> sites = list_sites(architecture, model_config);
  std::map<std::string, PeftModule> modules;  // by canonical name
  PeftAdapter adapter{.folder = folder, .rslora = config.rslora(), .start = config.start()};
  Complaints complaints;
  for (const auto& [name, view] : file.tensors) {
    const Key key = parse_key(name);
    const bool is_number = view.dtype == Dtype::kFloat32 || view.dtype == Dtype::kFloat16 ||
                           view.dtype == Dtype::kBFloat16 || view.dtype == Dtype::kFloat64;
    if (!is_number) {
      complaints.add("no floats:", concat(name, " ", view.dtype_text));
      continue;
    }
    const torch::Tensor value = view_tensor(view).to(torch::kFloat32);
    if (!value.isfinite().all().item<bool>()) complaints.add("not finite:", name);
    if (key.part.empty()) {
      const std::string segment = head_segment(key.module, architecture.head);
      if (segment.empty() && key.module.find("lora_embedding_") != std::string::npos) {
        complaints.add(kOutside, name);
      } else if (segment.empty() && name.ends_with(".bias")) {
        complaints.add("trained biases, which have no row here:", name);
      } else if (segment.empty()) {
        complaints.add("unknown:", name);
      } else {
        adapter.head[segment] = value;
      }
      continue;
    }
    const std::string wanted = without_prefix(key.module, architecture);
    const auto site = std::find_if(sites.begin(), sites.end(), [&](const Site& each) {
      return without_prefix(each.hf_name, architecture) == wanted;
    });
    if (site == sites.end()) {
      const bool of_head =
          wanted == without_prefix(architecture.head.dense_hf, architecture) || wanted == architecture.head.output_hf;
      const bool outside = of_head || wanted == "lm_head" || wanted.find("embed") != std::string::npos;
      complaints.add(outside ? kOutside : "not in this model:", name);
      continue;
    }
    PeftModule& module = modules[site->name];
    module.site = *site;
    module.name = key.module;
    (key.part == "a" ? module.a : key.part == "b" ? module.b : module.r) = value;
  }
  const bool any_r = std::any_of(modules.begin(), modules.end(), [](const auto& m) { return m.second.r.defined(); });
  const bool any_basis = std::any_of(modules.begin(), modules.end(),
                                     [](const auto& m) { return m.second.a.defined() || m.second.b.defined(); });
  if (any_r && !any_basis) {
    throw Error(concat(path.string(),
                       ": expected lora_A and lora_B beside R, found R alone; R means nothing without "
                       "the basis it was trained with: save A and B too, or write a loraxs adapter, "
                       "which names base and basis by digest and fingerprint"));
  }
  // PEFT knows the modules of a bare encoder without the prefix that a model with a head gives them.
  const bool bare = std::any_of(modules.begin(), modules.end(), [&](const auto& m) {
    return m.second.name == without_prefix(m.second.site.hf_name, architecture);
  });
  for (const Site& site : sites) {  // canonical order
    const auto found = modules.find(site.name);
    if (found != modules.end()) {
      PeftModule& module = found->second;
      check_module(complaints, site.hf_name, module, any_r);
      if (!module.a.defined() || module.a.dim() != 2) continue;
      if (const int64_t rank = config.rank_of(module.name); module.rank() != rank) {
        complaints.add("misshapen:", concat(module.name, ".lora_A of rank ", module.rank(), " instead of ", rank,
                                            ", which the config says"));
      }
      module.alpha = config.alpha_of(module.name);
      module.scale = rank_scale(module.alpha, std::max<int64_t>(1, module.rank()), {.rslora = config.rslora()});
      adapter.modules.push_back(module);
    } else if (config.targets(bare ? without_prefix(site.hf_name, architecture) : site.hf_name)) {
      complaints.add("missing:", site.hf_name + " (a target module of the config)");
    }
  }
  for (const auto& [segment, value] : adapter.head) {
    const int64_t hidden = model_config.hidden_size;
    const bool is_bias = segment.ends_with(".bias");
    const int64_t outputs = segment.starts_with("head.dense") || value.dim() < 1 ? hidden : value.size(0);
    check_shape(complaints, segment, value, is_bias ? std::vector{outputs} : std::vector{outputs, hidden});
  }
  if (!adapter.head.empty() &&
      (!adapter.head.contains("head.classifier.weight") || !adapter.head.contains("head.classifier.bias"))) {
    complaints.add("missing:", architecture.head.output_hf + ".weight and .bias beside the rest of the head");
  }
  if (modules.empty()) complaints.add("missing:", "every lora_A and lora_B");
  if (!complaints.empty()) {
    throw Error(concat(path.string(), ": expected the tensors of a LoRA on ", architecture.model_type, ", found ",
                       complaints.text()));
  }
  return adapter;
}

}  // namespace loraxs
