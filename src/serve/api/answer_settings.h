// serve/api/answer_settings.h: how an answer is made, as chat, completions and responses ask for it.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "generate/sampling.h"
#include "serve/answering.h"
#include "serve/api/body.h"
#include "serve/api/call.h"

namespace loraxs {

struct AnswerSettings {
  SamplingOptions sampling;
  int64_t max_new_tokens = 0;  // 0: what the context leaves
  int64_t samples = 1;
  std::vector<std::string> stop;
  bool ignore_eos = false;
  bool stream = false;
  bool include_usage = false;  // of stream_options
};

/// The fields that read_answer_settings() reads.
BodyFields answer_fields();
/// Names that other servers know, with the values that ask for nothing; and those that change no answer.
BodyFields foreign_fields();

/// Throws ApiError 400.
AnswerSettings read_answer_settings(const Call& call, Body& body);

/// The tokens of a conversation up to where the answer begins. Throws ApiError 400 with `param` for what the template
/// refuses.
std::vector<int32_t> chat_prompt(const Call& call, const nlohmann::ordered_json& messages, const std::string& param);

/// The request of one prompt. Throws ApiError 400 for a prompt and an answer that do not fit into the context;
/// `prompt_field` is where the prompt stood, `limit_field` where the number of new tokens.
AnswerRequest answer_request(const Call& call, const ServedModelPtr& model, const AnswerSettings& settings,
                             std::vector<int32_t> prompt, const std::string& prompt_field,
                             const std::string& limit_field);

/// Tokens that the requests may use, at most.
int64_t most_tokens(const Call& call, const std::vector<AnswerRequest>& requests);

}  // namespace loraxs
