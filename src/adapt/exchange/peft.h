// adapt/exchange/peft.h: an adapter as folders of PEFT: as plain LoRA, or in the layout of the paper's reference.
#pragma once
#include <filesystem>

#include "adapt/adapter_set.h"
#include "adapt/basis.h"
#include "model/base_model.h"

namespace loraxs {

/// adapter_model.safetensors and adapter_config.json as PEFT 0.10 and later, and what follows its format (vLLM), read
/// them. Any LoRA runtime then serves it, at LoRA's size: everything of a method but a stands in lora_B (lora_A = a,
/// lora_B = b R for LoRA-XS); PiSSA takes two ranks, one to take off what its base lost. A trained head goes in as
/// modules_to_save. Complete or absent. Throws Error where PEFT cannot hold the adapter.
void export_peft(const std::filesystem::path& folder, const BaseModel& model, const Basis& basis, const Bank& bank,
                 int64_t row);

/// What the reference's own loader reads: `folder`/ft with A, B, R of every module, and reconstr_config.json beside ft.
/// A PEFT loader would ignore R and add the largest part of W itself: it is for the reference alone. Complete or
/// absent. Throws Error for adapters whose modules differ in rank, which its config cannot say.
void export_reference(const std::filesystem::path& folder, const BaseModel& model, const Basis& basis, const Bank& bank,
                      int64_t row);

}  // namespace loraxs
