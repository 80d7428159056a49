// model/hf_config.h: a decoder's config as transformers' config.json says it.
#pragma once
#include <nlohmann/json.hpp>
#include <string>

#include "model/architecture.h"

namespace loraxs {

/// config.json of a model whose config was read elsewhere (a GGUF file). Older keys (rope_theta, rope_scaling), which
/// all versions of transformers read; numbers that GGUF keeps as float32 in the fewest digits that give them back.
/// `where` starts errors. Throws Error for a family that is no decoder, and for a scaling of positions that config.json
/// has no words for.
nlohmann::ordered_json hf_config(const Architecture& architecture, const ModelConfig& config, const std::string& where);

}  // namespace loraxs
