// text/pre_tokenizer.h: how a tokenizer.json cuts normalized text into pieces before its model sees them.
#pragma once
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "text/pieces.h"

namespace loraxs {

/// One step; a Sequence is several.
using PreTokenizer = std::function<void(Pieces&)>;

/// The steps of a "pre_tokenizer" object: BertPreTokenizer, ByteLevel, Digits, Metaspace, Punctuation, Sequence, Split,
/// Whitespace, WhitespaceSplit; none for null. Throws Error naming another kind and those known.
std::vector<PreTokenizer> parse_pre_tokenizer(const nlohmann::json& json, const std::string& where);

}  // namespace loraxs
