// serve/api/logprobs.h: log-probabilities as OpenAI's two APIs write them.
#pragma once
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "serve/answering.h"

namespace loraxs {

/// A token's text, or "bytes:\xe2\x80" where its bytes are no whole characters: OpenAI's spelling, which keeps
/// different tokens apart.
std::string token_name(const std::string& bytes);

/// Of a chat: [{token, logprob, bytes, top_logprobs: [{token, logprob, bytes}]}].
nlohmann::ordered_json chat_logprobs(const std::vector<TokenInfo>& tokens);

/// Of a completion: {tokens, token_logprobs, top_logprobs, text_offset}. The top ones hold the token itself too.
/// `offset`: characters before the first token; moves behind the last one.
nlohmann::ordered_json completion_logprobs(const std::vector<TokenInfo>& tokens, int64_t& offset);

}  // namespace loraxs
