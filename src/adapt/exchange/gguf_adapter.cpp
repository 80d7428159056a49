#include "adapt/exchange/gguf_adapter.h"

#include "adapt/site_binding.h"
#include "io/error.h"
#include "io/gguf.h"
#include "model/gguf_model.h"

namespace loraxs {

void export_gguf_adapter(const std::filesystem::path& path, const BaseModel& model, const Basis& basis,
                         const Bank& bank, int64_t row) {
  const Architecture& family = *model.architecture;
  if (family.gguf.architecture.empty()) {
    throw Error(concat(path.string(), ": expected a family that GGUF files hold, found ", family.model_type,
                       "; --format peft writes it for transformers"));
  }
  if (bank.layout->head.kind != "none") {
    throw Error(concat(path.string(), ": expected an adapter without a task head, found head ", bank.layout->head.kind,
                       ", which a GGUF adapter cannot hold"));
  }
  const std::vector<std::pair<std::string, std::string>> metadata = {
      {"general.type", gguf_string("adapter")},
      {"general.architecture", gguf_string(family.gguf.architecture)},
      {"adapter.type", gguf_string("lora")},
      {"adapter.lora.alpha", gguf_float32(static_cast<float>(bank.alpha(row)))}};
  const std::map<std::string, std::string> names = gguf_weight_names(family, model.config);
  std::vector<GgufTensorSource> tensors;
  for (const Site& site : bank.layout->sites) {
    const std::string& name = names.at(site.name + ".weight");
    const LoraForm form = lora_form(bank, row, site, basis, "gguf");
    const int64_t heads = interleaved_heads(family, model.config, site.name + ".weight", site.out_features);
    for (const auto& [suffix, value] :
         {std::pair{".lora_a", form.a}, std::pair{".lora_b", to_stored_rows(form.b, heads)}}) {
      tensors.push_back(
          {.name = name + suffix, .type = BlockType::kF32, .shape = value.sizes().vec(), .bytes = [value = value] {
             const auto* bytes = static_cast<const std::byte*>(value.const_data_ptr());
             return std::vector(bytes, bytes + value.nbytes());
           }});
    }
  }
  write_gguf(path, metadata, tensors);
}

}  // namespace loraxs
