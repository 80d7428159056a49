// generate/lane.h: what the scheduler knows of a request, and of each sequence that it computes for it.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "batch/packed_batch.h"
#include "generate/generation_request.h"
#include "generate/tenant_queues.h"

namespace loraxs {

struct ActiveRequest {
  GenerationRequest given;
  int64_t id = 0;
  std::map<int64_t, Ticket> samples;          // that have not ended, and the lanes that compute them
  std::vector<SampledToken> prompt_logprobs;  // of tokens 1 …, as far as the prompt was computed
  std::optional<int64_t> cached_tokens;       // found in the cache when it began

  int64_t prompt_size() const { return static_cast<int64_t>(given.prompt.size()); }
  /// So many tokens of the prompt need no row before them any more.
  int64_t known_prompt() const {
    return given.prompt_logprobs ? static_cast<int64_t>(prompt_logprobs.size()) + 1 : prompt_size();
  }
};

/// A sequence in the cache: a request's prompt, from which all its samples go on, then one sample.
struct Lane {
  std::shared_ptr<ActiveRequest> request;
  Ticket ticket;                 // its name: request and first sample
  std::vector<int64_t> samples;  // that have not ended: one, as soon as there is an answer
  SamplingOptions sampling;      // of the one sample
  std::vector<int32_t> tokens;   // prompt and answer so far
  std::vector<int32_t> blocks;   // what other lanes or the prefix cache use too is not written
  int64_t kept = 0;              // blocks, the first ones, that the prefix cache keeps
  int64_t cached = 0;            // tokens whose keys and values are in the blocks
  int64_t scheduled = 0;         // tokens of this step
  int64_t last_step = -1;        // that computed some of it
  bool running = false;

  int64_t size() const { return static_cast<int64_t>(tokens.size()); }
  int64_t pending() const { return size() - cached; }
  int64_t answered() const { return size() - request->prompt_size(); }
  int64_t num_samples() const { return static_cast<int64_t>(samples.size()); }
  SeenTokens seen() const {
    const std::span<const int32_t> all(tokens);
    return {.prompt = all.first(request->given.prompt.size()), .answer = all.subspan(request->given.prompt.size())};
  }
  /// The scheduled tokens as a sequence of a batch. Asked for are the rows before tokens of the prompt whose
  /// log-probabilities are not known, and the last row if the next token comes behind it.
  Sequence sequence() const;
};

/// The higher priority first, then the older.
struct LaneOrder {
  bool operator()(const Lane* x, const Lane* y) const {
    const int64_t of_x = x->request->given.priority, of_y = y->request->given.priority;
    return of_x != of_y ? of_x > of_y : x->ticket < y->ticket;
  }
};

}  // namespace loraxs
