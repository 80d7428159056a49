// text/normalizer.h: how a tokenizer.json rewrites text before it is cut into pieces.
#pragma once
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "text/text_limit.h"

namespace loraxs {

/// One step, valid UTF-8 to valid UTF-8, of at most the bytes the limit leaves; a Sequence is several.
using Normalizer = std::function<std::string(std::string, TextLimit&)>;

/// The steps of a "normalizer" object: BertNormalizer, Lowercase, NFC, NFD, NFKC, NFKD, Precompiled, Prepend, Replace,
/// Sequence, Strip, StripAccents; none for null. Throws Error naming another kind and those known.
std::vector<Normalizer> parse_normalizer(const nlohmann::json& json, const std::string& where);

/// Throws Error where a step makes more of `text` than the limit leaves.
std::string normalize(const std::vector<Normalizer>& steps, std::string_view text, TextLimit& limit);

}  // namespace loraxs
