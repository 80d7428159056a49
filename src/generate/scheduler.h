// generate/scheduler.h: continuous batching: requests join and leave between the steps of one model.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "batch/block_pool.h"
#include "generate/sampling.h"
#include "generate/step_model.h"

namespace loraxs {

enum class FinishReason { kStop, kLength, kCancelled };
const char* finish_reason_name(FinishReason reason);  // "stop", "length", "cancelled"

/// What every scheduler asks of a request. Throws Error for an empty prompt, one that leaves no room for an answer in
/// `context` tokens, and fewer than one new token.
void check_prompt(const std::string& name, int64_t prompt_tokens, int64_t context, int64_t max_new_tokens);

struct GenerationRequest {
  std::string name = "request";  // starts error messages: "prompts.jsonl:3"
  std::vector<int32_t> prompt;   // token ids, at least one
  int64_t slot = kNoSlot;        // adapter
  SamplingOptions sampling;
  int64_t max_new_tokens = 256;
  /// Called by step() for every new token, end-of-text tokens excepted; false ends the answer ("stop").
  std::function<bool(const SampledToken&)> on_token;
  /// Called once, last.
  std::function<void(FinishReason)> on_finish;
};

struct SchedulerOptions {
  int64_t context = 2048;         // tokens of prompt and answer together, at most
  int64_t tokens_per_step = 512;  // longer prompts are computed in chunks; what is running goes first
  int64_t max_sequences = 64;     // computed in one step
  std::vector<int32_t> end_ids;   // tokens that end an answer
};

/// Not thread-safe: one thread submits, cancels and steps. Callbacks run inside step() and cancel(); they may submit
/// requests and cancel others.
/// A request's tokens depend on the request alone: rows do not depend on their neighbours (ops/frozen_weight.h), and
/// draws count by the request's own tokens. A full cache takes the blocks of the youngest request, which is computed
/// anew later, prompt as prompt and answer as answer; the oldest always goes on.
class Scheduler {
 public:
  Scheduler(StepModel& model, SchedulerOptions options);

  /// Throws Error for an empty prompt, a prompt that leaves no room for an answer, contradictory sampling options.
  int64_t submit(GenerationRequest request);
  void cancel(int64_t id);  // unknown or finished: nothing happens
  /// One forward of the model. False when nothing is left to do.
  bool step();

  int64_t num_requests() const { return static_cast<int64_t>(requests_.size()); }
  int64_t num_preemptions() const { return preemptions_; }

 private:
  struct Request {
    GenerationRequest given;
    std::vector<int32_t> tokens;  // prompt and answer so far
    std::vector<int32_t> blocks;
    int64_t cached = 0;     // tokens whose keys and values are in the blocks
    int64_t scheduled = 0;  // tokens of this step
    bool running = false;

    int64_t pending() const { return static_cast<int64_t>(tokens.size()) - cached; }
    int64_t answered() const { return static_cast<int64_t>(tokens.size() - given.prompt.size()); }
  };
  using Requests = std::map<int64_t, Request>;  // by id: oldest first

  void schedule();
  bool reserve(Request& request, int64_t tokens);
  void preempt(Request& request);
  void release_blocks(Request& request);
  void finish(Requests::iterator request, FinishReason reason);
  void deliver(Requests::iterator request, std::span<const float> logits);

  StepModel& model_;
  SchedulerOptions options_;
  BlockPool pool_;
  Requests requests_;
  int64_t next_id_ = 0;
  int64_t preemptions_ = 0;
};

}  // namespace loraxs
