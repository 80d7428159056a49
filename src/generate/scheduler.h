// generate/scheduler.h: continuous batching: requests join and leave between the steps of one model.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "generate/generation_request.h"
#include "generate/lane.h"
#include "generate/pace.h"
#include "generate/prefix_cache.h"
#include "generate/step_cost.h"
#include "generate/step_model.h"
#include "generate/tenant_queues.h"
#include "generate/tenant_share.h"

namespace loraxs {

struct SchedulerOptions {
  int64_t context = 2048;           // tokens of prompt and answer together, at most
  int64_t tokens_per_step = 512;    // longer prompts are computed in chunks; what is running goes first
  int64_t max_sequences = 64;       // computed in one step; and samples of a request, at most
  std::vector<int32_t> end_ids;     // tokens that end an answer
  bool prefix_reuse = true;         // by requests with a prefix_key
  double gap_ms = 0;                // that answers should wait for a step with prompts (Pace); 0: no bound
  double most_longer = 0;           // times that one tenant's steps take for what others ask (TenantShare); 0: no bound
  std::function<bool()> interrupt;  // a step under way: somebody new has come, who should be in the next one
  std::function<double()> seconds;  // a clock that only goes on; empty: the machine's
};

/// What has been done so far, and what is there now.
struct SchedulerState {
  int64_t running = 0, waiting = 0;  // sequences: a request before its answers begin is one, then each sample
  int64_t in_step = 0;               // of those that run, computed in the last step; 0: it was interrupted
  int64_t blocks = 0, free_blocks = 0;
  int64_t prompt_tokens = 0, cached_tokens = 0, answer_tokens = 0;  // computed, found in the cache, sampled
  int64_t steps = 0, preemptions = 0, interruptions = 0;
  double step_seconds = 0;
};

/// Not thread-safe: one thread submits, cancels and steps. Callbacks run inside step() and cancel(); they may submit
/// requests and cancel any.
/// A request's tokens depend on the request alone: rows do not depend on their neighbours (ops/frozen_weight.h), draws
/// count by the sample's own tokens, and a block of a prompt that is used again holds what would be computed. So does
/// its failure: one whose logits are not finite ends with kError, and the others go on with the same bits. A full cache
/// takes the blocks of the youngest sequence of the lowest priority, which is computed anew later, prompt as prompt and
/// answer as answer; the oldest of the highest always goes on. Who waits begins as TenantQueues says; where steps are
/// shared by tenants, one begins in any case that has fewer than its part of max_sequences, beside those that have
/// more: so up to twice as many may be in the cache as in a step. An interrupted step is computed anew, and so much
/// time is lost so at most as a tenth of that of whole steps. What else leaves step() (a callback's exception, a lack
/// of memory) ends them all: only destruction is left.
class Scheduler {
 public:
  Scheduler(StepModel& model, SchedulerOptions options);
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;
  ~Scheduler();

  /// Throws Error for a prompt that check_prompt refuses, contradictory sampling options and samples that are not 1 …
  /// max_sequences; the requests that are there do not notice.
  int64_t submit(GenerationRequest request);
  void cancel(int64_t id);                  // all samples; unknown or finished: nothing happens
  void cancel(int64_t id, int64_t sample);  // the others go on
  /// One forward of the model. False when nothing is left to do.
  bool step();

  int64_t num_requests() const { return static_cast<int64_t>(requests_.size()); }
  int64_t num_preemptions() const { return state_.preemptions; }
  SchedulerState state() const;

 private:
  using RequestPtr = std::shared_ptr<ActiveRequest>;

  // scheduler_steps.cpp: what a step computes.
  void schedule();
  void schedule_all();
  void schedule_shares();
  void admit_newcomers();
  int64_t schedule_answers(const std::vector<Lane*>& lanes, int64_t budget, std::vector<Lane*>& prompts);
  int64_t num_waiting_prompts(int64_t under_way) const;
  int64_t schedule_prompts(int64_t budget, std::vector<Lane*> prompts, bool shares, int64_t preempted_before);
  void schedule_rest(const std::vector<Lane*>& rest, int64_t answers, int64_t budget, bool admits);
  int64_t take_of_rest(Lane& lane, int64_t answers, int64_t budget);
  int64_t take(Lane& lane, int64_t budget);
  bool has_seat(const Lane& lane) const;
  bool admit(Lane& lane);
  bool reserve(Lane& lane, int64_t tokens);
  void preempt(Lane& lane);
  void release_blocks(Lane& lane);
  void enqueue(const Lane& lane);
  void give_up(const std::vector<Lane*>& batched);
  void advance(Lane& lane);
  void read_row(const Ticket& ticket, int64_t position, std::span<const float> logits);
  void start_answers(Lane& lane, std::span<const float> logits);
  std::vector<Ticket> fork(Lane& lane);
  void deliver(Lane& lane, std::span<const float> logits);
  void end_sample(const RequestPtr& request, int64_t sample, FinishReason reason, const std::string& error = "");
  void end_request(const RequestPtr& request, FinishReason reason, const std::string& error = "");
  int64_t blocks_for(int64_t tokens) const;
  int64_t taken_seats() const;

  StepModel& model_;
  SchedulerOptions options_;
  PrefixCache cache_;
  TenantQueues queues_;
  StepCost cost_;
  Pace pace_;
  TenantShare share_;
  double may_lose_;        // seconds, to interruptions
  double step_start_ = 0;  // seconds
  std::map<int64_t, RequestPtr> requests_;
  std::map<Ticket, Lane> lanes_;        // those that run or wait
  std::set<Lane*, LaneOrder> running_;  // the rest waits in queues_
  int64_t echo_rows_ = 0;               // of this step, left for log-probabilities of prompts
  int64_t next_id_ = 0;
  SchedulerState state_;
};

}  // namespace loraxs
