// model/gguf_export.h: a model of a Hugging Face folder as the metadata and tensors of a GGUF file, as llama.cpp's
// convert_hf_to_gguf.py makes them.
#pragma once
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "io/gguf.h"
#include "model/base_model.h"

namespace loraxs {

/// The family that GGUF files have this model under: mistral's are llama's. Throws Error naming those that have one.
const Architecture& gguf_family(const BaseModel& model);

/// Keys of the architecture with encoded values, general.architecture first. A window that every layer sees becomes the
/// context's length, since llama.cpp knows none in these families: within it nothing differs; `note` then says so.
/// Throws Error for what the format cannot say: other windows, scalings of positions but linear and llama3.
std::vector<std::pair<std::string, std::string>> gguf_config_metadata(const BaseModel& model, std::string& note);

/// Every weight, in the order of llama.cpp's rows, computed when its turn comes: matrices as `type`, each in its own
/// dtype without one, vectors F32. `model` must outlive the list. Throws Error for biases that the family has no names
/// for.
std::vector<GgufTensorSource> gguf_tensors(const BaseModel& model, std::optional<BlockType> type);

}  // namespace loraxs
