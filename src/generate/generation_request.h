// generate/generation_request.h: what is asked of the scheduler, and what it tells as the answers come.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "batch/packed_batch.h"
#include "generate/sampling.h"

namespace loraxs {

enum class FinishReason { kStop, kLength, kCancelled, kError };
const char* finish_reason_name(FinishReason reason);  // "stop", "length", "cancelled", "error"

/// What every scheduler asks of a request. Throws Error for an empty prompt, an id outside the `vocab` tokens of the
/// model, a prompt that leaves no room for an answer in `context` tokens, and fewer than one new token.
void check_prompt(const std::string& name, std::span<const int32_t> prompt, int64_t vocab, int64_t context,
                  int64_t max_new_tokens);
/// `problem` with the request and the place in its answer in front.
std::string answer_error(const std::string& name, int64_t answered, const std::string& problem);

/// One prompt and `samples` answers to it. Callbacks may be empty; each names the sample it speaks of, 0 … samples-1.
struct GenerationRequest {
  std::string name = "request";  // starts error messages: "prompts.jsonl:3"
  std::vector<int32_t> prompt;   // token ids, at least one
  int64_t slot = kNoSlot;        // adapter
  /// Kept until the request has ended: the pin of a resident row (adapt/resident_bank.h).
  std::shared_ptr<const void> holds;
  SamplingOptions sampling;
  int64_t max_new_tokens = 256;
  bool ignore_eos = false;       // end tokens are tokens like others
  int64_t samples = 1;           // from one computation of the prompt; sample k > 0 has the seed mix_seed(seed, k)
  bool prompt_logprobs = false;  // on_prompt tells them, with sampling.top_logprobs beside each
  std::string tenant;            // who asks: tenants share the model evenly
  int64_t priority = 0;          // higher goes first
  /// Requests with an equal key that is not empty use each other's blocks of a common prompt. It names all that keys
  /// and values depend on beside the tokens (the adapter's bits, not its slot), and who may know what was asked.
  std::string prefix_key;

  /// Called once, before the first token: so many tokens of the prompt were found in the cache.
  std::function<void(int64_t cached_tokens)> on_start;
  /// Called once after on_start, if prompt_logprobs: tokens 1 … of the prompt (nothing predicts the first).
  std::function<void(std::span<const SampledToken>)> on_prompt;
  /// Called by step() for every new token, end-of-text tokens excepted; false ends the answer ("stop"). An Error that
  /// it throws is the sample's failure; one of the two above is the request's.
  std::function<bool(int64_t sample, const SampledToken&)> on_token;
  /// Called once for each sample, last. `error` is the sentence of kError, empty for all others.
  std::function<void(int64_t sample, FinishReason, const std::string& error)> on_finish;
};

}  // namespace loraxs
