// text/tokenizer_json.h: a tokenizer from Hugging Face's tokenizer.json.
#pragma once
#include <nlohmann/json.hpp>
#include <string>

#include "text/tokenizer.h"

namespace loraxs {

/// All parts but the model and added tokens: from "normalizer", "pre_tokenizer" and "decoder" of `json`.
TokenizerParts parse_pipeline(const nlohmann::json& json, const std::string& where);

/// The whole file, parsed. Throws Error naming the part that is damaged or not supported, and the kinds that are.
TokenizerParts parse_tokenizer_json(nlohmann::json json, const std::string& where);

}  // namespace loraxs
