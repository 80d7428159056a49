#include "generate/beam_scheduler.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "io/error.h"

namespace loraxs {

BeamScheduler::BeamScheduler(StepModel& model, SchedulerOptions options)
    : model_(model), options_(std::move(options)), pool_(model.num_blocks()) {}

int64_t BeamScheduler::blocks_for(int64_t tokens) const {
  return (tokens + model_.tokens_per_block() - 1) / model_.tokens_per_block();
}

void BeamScheduler::submit(BeamRequest request) {
  request.options.check(request.name);
  const auto length = static_cast<int64_t>(request.prompt.size());
  check_prompt(request.name, request.prompt, model_.vocab_size(), options_.context, request.max_new_tokens);
  request.max_new_tokens = std::min(request.max_new_tokens, options_.context - length);
  // The prompt's whole blocks are never written again, so all beams share them.
  const int64_t shared = length / model_.tokens_per_block();
  const int64_t needs = shared + request.options.beams * (blocks_for(length + request.max_new_tokens) - shared);
  if (needs > pool_.size()) {
    throw Error(concat(request.name, ": expected a search that ", pool_.size(), " blocks of the cache hold, found ",
                       request.options.beams, " beams of up to ", length + request.max_new_tokens, " tokens, ", needs,
                       " blocks; take fewer beams or fewer new tokens"));
  }
  BeamSearch beams(request.options, options_.end_ids, request.max_new_tokens, request.ends);
  searches_.push_back({.given = std::move(request), .beams = std::move(beams), .needs = needs, .blocks = {{}}});
}

bool BeamScheduler::step() {
  if (searches_.empty()) return false;
  start_waiting();
  schedule();
  std::vector<Search*> batched;
  for (Search& search : searches_) {
    if (search.scheduled > 0) batched.push_back(&search);
  }
  // Sequences of one adapter stand together: each adapter's product is one GEMM.
  std::stable_sort(batched.begin(), batched.end(),
                   [](const Search* x, const Search* y) { return x->given.slot < y->given.slot; });
  std::vector<Sequence> sequences;
  std::vector<Search*> asking;
  for (Search* search : batched) {
    make_room(*search);
    const bool in_prompt = search->in_prompt();
    for (int64_t b = 0; b < search->width(); ++b) {
      Sequence sequence{.slot = search->given.slot, .first_position = search->cached, .blocks = search->blocks[b]};
      if (in_prompt) {
        const auto first = search->given.prompt.begin() + search->cached;
        sequence.input_ids = {first, first + search->scheduled};
      } else {
        sequence.input_ids = {search->beams.running()[b].tokens.back()};
      }
      sequence.asks_next = search->cached + search->scheduled >= search->prompt_size();
      if (sequence.asks_next && b == 0) asking.push_back(search);
      sequences.push_back(std::move(sequence));
    }
  }
  most_blocks_ = std::max(most_blocks_, pool_.size() - pool_.num_free());
  std::span<const float> logits = model_.step(pack(sequences, Ask::kNext));
  for (Search* search : batched) search->cached += std::exchange(search->scheduled, 0);
  const int64_t vocab = model_.vocab_size();
  for (Search* search : asking) {
    const auto count = static_cast<size_t>(search->width() * vocab);
    const auto rows = logits.first(count);  // [beams, vocab]
    logits = logits.subspan(count);
    try {
      if (search->beams.advance(rows, vocab)) {
        follow_parents(*search);
        continue;
      }
    } catch (const Error& error) {
      finish(*search, answer_error(search->given.name, search->cached - search->prompt_size(), error.what()));
      continue;
    }
    finish(*search, "");
  }
  return !searches_.empty();
}

void BeamScheduler::start_waiting() {
  int64_t sequences = 0;
  for (Search& search : searches_) {
    const int64_t beams = search.given.options.beams;
    if (!search.running) {
      const bool fits =
          reserved_ + search.needs <= pool_.size() && (sequences == 0 || sequences + beams <= options_.max_sequences);
      if (!fits) return;  // who came first goes first
      search.running = true;
      reserved_ += search.needs;
    }
    sequences += beams;
  }
}

/// Every search past its prompt takes a token for each beam; prompts share what is left of the step, oldest first.
void BeamScheduler::schedule() {
  int64_t budget = options_.tokens_per_step;
  for (Search& search : searches_) {
    if (!search.running || search.in_prompt()) continue;
    search.scheduled = 1;
    budget -= search.width();
  }
  for (Search& search : searches_) {
    if (!search.running || !search.in_prompt() || budget <= 0) continue;
    search.scheduled = std::min(search.prompt_size() - search.cached, budget);
    budget -= search.scheduled;
  }
}

/// Blocks for the scheduled tokens of each beam that nobody else reads.
void BeamScheduler::make_room(Search& search) {
  const auto take = [&] {
    const auto block = pool_.take();
    if (!block) throw std::logic_error("BeamScheduler: a search needs more blocks than were set aside for it");
    return *block;
  };
  const auto written = static_cast<size_t>(search.cached / model_.tokens_per_block());
  const auto needed = static_cast<size_t>(blocks_for(search.cached + search.scheduled));
  for (std::vector<int32_t>& blocks : search.blocks) {
    if (written < blocks.size() && pool_.references(blocks[written]) > 1) {
      const int32_t own = take();
      model_.copy_block(blocks[written], own);
      pool_.release(blocks[written]);
      blocks[written] = own;
    }
    while (blocks.size() < needed) blocks.push_back(take());
  }
}

void BeamScheduler::follow_parents(Search& search) {
  std::vector<std::vector<int32_t>> next;
  for (const BeamSearch::Beam& beam : search.beams.running()) {
    next.push_back(search.blocks[beam.parent]);
    for (const int32_t block : next.back()) pool_.share(block);
  }
  for (const auto& blocks : search.blocks) {
    for (const int32_t block : blocks) pool_.release(block);
  }
  search.blocks = std::move(next);
}

void BeamScheduler::finish(Search& search, const std::string& error) {
  release(search);
  const auto found =
      std::find_if(searches_.begin(), searches_.end(), [&](const Search& other) { return &other == &search; });
  const auto on_finish = std::move(found->given.on_finish);
  const std::vector<BeamAnswer> answers = error.empty() ? found->beams.answers() : std::vector<BeamAnswer>();
  searches_.erase(found);
  if (on_finish) on_finish(answers, error);
}

void BeamScheduler::release(Search& search) {
  for (const auto& blocks : search.blocks) {
    for (const int32_t block : blocks) pool_.release(block);
  }
  search.blocks.clear();
  reserved_ -= search.needs;
}

}  // namespace loraxs
