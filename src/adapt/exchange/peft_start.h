// adapt/exchange/peft_start.h: adapters whose start took a part of the base, as updates of the whole base.
#pragma once
#include "adapt/exchange/peft_reader.h"
#include "model/base_model.h"

namespace loraxs {

/// PiSSA and OLoRA begin with scale · b₀ a₀ computed from W, and train on W − scale · b₀ a₀ (pissa_init and olora_init
/// of peft/tuners/lora/layer.py). On W itself their update is scale · (b a − b₀ a₀): [b, −b₀] [a; a₀] of twice the rank
/// and, so that the scale stays, twice the alpha (√2 with rslora), as PEFT's own conversion writes it
/// (path_initial_model_for_weight_conversion). b₀ a₀ is computed again from the model's weights, in float64. Adapters
/// of other starts stay as they are. Throws Error for LoRA-XS with such a start.
void take_start_back(PeftAdapter& adapter, const BaseModel& model);

}  // namespace loraxs
