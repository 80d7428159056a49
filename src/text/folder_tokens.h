// text/folder_tokens.h: what the files beside a tokenizer.json say of its tokens and steps, put together as
// transformers 5.23 does (PreTrainedTokenizerBase._from_pretrained, TokenizersBackend.__init__).
#pragma once
#include <filesystem>
#include <nlohmann/json.hpp>

#include "io/fields.h"
#include "text/tokenizer.h"

namespace loraxs {

/// tokenizer_config.json, with special_tokens_map.json over it where it has no added_tokens_decoder.
Fields read_tokenizer_settings(const std::filesystem::path& folder);

/// Steps of a tokenizer.json that the tokenizer's class builds anew from its settings: BERT's normalizer
/// (do_lower_case, strip_accents, tokenize_chinese_chars) and RoBERTa's add_prefix_space count as tokenizer_config.json
/// has them. The class: tokenizer_class there or in config.json, else that of the model's family.
void apply_settings(nlohmann::json& tokenizer, Fields& settings, const std::filesystem::path& folder);

/// Adds the tokens that added_tokens_decoder or added_tokens.json lists, then those with a name (bos_token, …,
/// anything_token), then additional_special_tokens or extra_special_tokens. Where the vocabulary has a token it keeps
/// its id there; others get the next free id, whatever the files say. Sets BOS and EOS by name; what else ends a text
/// by generation_config.json, or by config.json where that says nothing. Tokens that only have a name, and would get an
/// id from `num_ids` on, for which the model has no embedding, are left out. Throws Error naming file and key.
void add_folder_tokens(TokenizerParts& parts, Fields& settings, const std::filesystem::path& folder, int64_t num_ids);

}  // namespace loraxs
