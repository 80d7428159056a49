// generate/beam_scheduler.h: beam searches of several prompts computed together; beams share the blocks of their past.
#pragma once
#include <cstdint>
#include <functional>
#include <list>
#include <span>
#include <string>
#include <vector>

#include "batch/block_pool.h"
#include "generate/beam_search.h"
#include "generate/scheduler.h"
#include "generate/step_model.h"

namespace loraxs {

struct BeamRequest {
  std::string name = "request";  // starts error messages
  std::vector<int32_t> prompt;   // token ids, at least one
  int64_t slot = kNoSlot;        // adapter
  BeamOptions options;
  int64_t max_new_tokens = 256;
  /// An answer is complete with its last token: a stop string. May be empty. An Error that it throws is the search's
  /// failure.
  std::function<bool(std::span<const int32_t> answer)> ends;
  /// Called once, with the best answers, best first, or with none and the sentence that says why the search failed.
  std::function<void(std::vector<BeamAnswer>, const std::string& error)> on_finish;
};

/// Not thread-safe. A prompt is computed once; its beams then share all blocks but the one that each writes, and a
/// block is copied only when a beam writes into one that others read. A search starts when the cache holds whatever it
/// may come to need, so that none has to give way. Answers and failures depend on the request alone, as the
/// Scheduler's.
class BeamScheduler {
 public:
  BeamScheduler(StepModel& model, SchedulerOptions options);

  /// Throws Error for a prompt that check_prompt refuses, options out of range, and a search that the cache could not
  /// hold alone; the searches that are there do not notice.
  void submit(BeamRequest request);
  /// One forward of the model. False when nothing is left to do.
  bool step();

  int64_t num_requests() const { return static_cast<int64_t>(searches_.size()); }
  int64_t most_blocks() const { return most_blocks_; }  // in use at one time, so far

 private:
  struct Search {
    BeamRequest given;
    BeamSearch beams;
    int64_t needs = 0;                         // blocks, at most
    std::vector<std::vector<int32_t>> blocks;  // of each running beam; of the prompt at first
    int64_t cached = 0;                        // tokens in the blocks, the same for every beam
    int64_t scheduled = 0;                     // tokens of each beam in this step
    bool running = false;

    int64_t prompt_size() const { return static_cast<int64_t>(given.prompt.size()); }
    bool in_prompt() const { return cached < prompt_size(); }
    int64_t width() const { return static_cast<int64_t>(blocks.size()); }
  };

  void start_waiting();
  void schedule();
  void make_room(Search& search);
  void follow_parents(Search& search);
  void finish(Search& search, const std::string& error);
  void release(Search& search);
  int64_t blocks_for(int64_t tokens) const;

  StepModel& model_;
  SchedulerOptions options_;
  BlockPool pool_;
  std::list<Search> searches_;  // oldest first
  int64_t reserved_ = 0;        // blocks that running searches may come to need
  int64_t most_blocks_ = 0;
};

}  // namespace loraxs
