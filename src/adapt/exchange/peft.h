// adapt/exchange/peft.h: an adapter of any low-rank method as plain PEFT LoRA: lora_A = a, lora_B = b R for LoRA-XS.
#pragma once
#include <filesystem>

#include "adapt/adapter_set.h"
#include "adapt/basis.h"
#include "model/base_model.h"

namespace loraxs {

/// Writes adapter_model.safetensors and adapter_config.json as PEFT 0.10 and later read them. Any LoRA runtime then
/// serves it, at LoRA's size: everything of a method but a stands in lora_B; PiSSA takes two ranks, one to take off
/// what its base lost. A trained head goes in as modules_to_save. Complete or absent. Throws Error where PEFT cannot
/// hold the adapter.
void export_peft(const std::filesystem::path& folder, const BaseModel& model, const Basis& basis, const Bank& bank,
                 int64_t row);

}  // namespace loraxs
