// generate/scheduler.h: continuous batching: requests join and leave between the steps of one model.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "batch/block_pool.h"
#include "generate/sampling.h"
#include "generate/step_model.h"

namespace loraxs {

enum class FinishReason { kStop, kLength, kCancelled, kError };
const char* finish_reason_name(FinishReason reason);  // "stop", "length", "cancelled", "error"

/// What every scheduler asks of a request. Throws Error for an empty prompt, an id outside the `vocab` tokens of the
/// model, a prompt that leaves no room for an answer in `context` tokens, and fewer than one new token.
void check_prompt(const std::string& name, std::span<const int32_t> prompt, int64_t vocab, int64_t context,
                  int64_t max_new_tokens);
/// `problem` with the request and the place in its answer in front.
std::string answer_error(const std::string& name, int64_t answered, const std::string& problem);

struct GenerationRequest {
  std::string name = "request";  // starts error messages: "prompts.jsonl:3"
  std::vector<int32_t> prompt;   // token ids, at least one
  int64_t slot = kNoSlot;        // adapter
  /// Kept until the request has ended: the pin of a resident row (adapt/resident_bank.h).
  std::shared_ptr<const void> holds;
  SamplingOptions sampling;
  int64_t max_new_tokens = 256;
  /// Called by step() for every new token, end-of-text tokens excepted; false ends the answer ("stop"). An Error that
  /// it throws is the request's failure.
  std::function<bool(const SampledToken&)> on_token;
  /// Called once, last. `error` is the sentence of kError, empty for all others.
  std::function<void(FinishReason, const std::string& error)> on_finish;
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
/// draws count by the request's own tokens. So does its failure: one whose logits are not finite ends with kError, and
/// the others go on with the same bits. A full cache takes the blocks of the youngest request, which is computed anew
/// later, prompt as prompt and answer as answer; the oldest always goes on. What else leaves step() (a callback's
/// exception, a lack of memory) ends them all: only destruction is left.
class Scheduler {
 public:
  Scheduler(StepModel& model, SchedulerOptions options);

  /// Throws Error for a prompt that check_prompt refuses and contradictory sampling options; the requests that are
  /// there do not notice.
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
    SeenTokens seen() const {
      const std::span<const int32_t> all(tokens);
      return {.prompt = all.first(given.prompt.size()), .answer = all.subspan(given.prompt.size())};
    }
    int64_t answered() const { return static_cast<int64_t>(tokens.size() - given.prompt.size()); }
  };
  using Requests = std::map<int64_t, Request>;  // by id: oldest first

  void schedule();
  bool reserve(Request& request, int64_t tokens);
  void preempt(Request& request);
  void release_blocks(Request& request);
  void finish(Requests::iterator request, FinishReason reason, const std::string& error = "");
  void deliver(Requests::iterator request, std::span<const float> logits);

  StepModel& model_;
  SchedulerOptions options_;
  BlockPool pool_;
  Requests requests_;
  int64_t next_id_ = 0;
  int64_t preemptions_ = 0;
};

}  // namespace loraxs
