// adapt/exchange/gguf_adapter.h: a LoRA-XS adapter as a LoRA of llama.cpp: one GGUF file beside the model's.
#pragma once
#include <filesystem>

#include "adapt/adapter_set.h"
#include "adapt/basis.h"
#include "model/base_model.h"

namespace loraxs {

/// lora_a = a and lora_b = b R per projection, F32, with the rows of b where the family's GGUF files have those of the
/// weight (llama.cpp's convert_lora_to_gguf.py; src/llama-adapter.cpp adds alpha / rank · b a). Complete or absent.
/// Throws Error for a family without GGUF names and for an adapter with a task head, which llama.cpp cannot hold.
void export_gguf_adapter(const std::filesystem::path& path, const BaseModel& model, const Basis& basis,
                         const Bank& bank, int64_t row);

}  // namespace loraxs
