#include "generate/generation_request.h"

#include <algorithm>

namespace loraxs {

const char* finish_reason_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
    case FinishReason::kError:
      return "error";
  }
  return "";
}

void check_prompt(const std::string& name, std::span<const int32_t> prompt, int64_t vocab, int64_t context,
                  int64_t max_new_tokens) {
  if (prompt.empty()) throw Error(concat(name, ": expected a prompt of at least one token, found none"));
  const auto tokens = static_cast<int64_t>(prompt.size());
  if (tokens >= context) {
    throw Error(concat(name, ": expected a prompt of at most ", context - 1, " tokens (context ", context, "), found ",
                       tokens, "; shorten it, or give a larger context (-c)"));
  }
  const auto outside = std::find_if(prompt.begin(), prompt.end(), [&](int32_t id) { return id < 0 || id >= vocab; });
  if (outside != prompt.end()) {
    throw Error(concat(name, ": expected token ids from 0 to ", vocab - 1, ", the model's, found ", *outside,
                       "; the tokenizer knows more tokens than the model"));
  }
  if (max_new_tokens < 1) throw Error(concat(name, ": new tokens: expected at least 1, found ", max_new_tokens));
}

std::string answer_error(const std::string& name, int64_t answered, const std::string& problem) {
  return concat(name, ": token ", answered + 1, " of the answer: ", problem);
}

}  // namespace loraxs
