#include "generate/scheduler.h"

#include <algorithm>
#include <utility>

#include "io/error.h"

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

Scheduler::Scheduler(StepModel& model, SchedulerOptions options)
    : model_(model), options_(std::move(options)), pool_(model.num_blocks()) {
  // One request alone must fit, or it would wait for ever.
  options_.context = std::min(options_.context, model.num_blocks() * model.tokens_per_block());
}

int64_t Scheduler::submit(GenerationRequest request) {
  request.sampling.check(request.name);
  request.sampling.check_ids(request.name, model_.vocab_size());
  check_prompt(request.name, request.prompt, model_.vocab_size(), options_.context, request.max_new_tokens);
  const int64_t id = next_id_++;
  Request entry{.given = std::move(request)};
  entry.tokens = entry.given.prompt;
  requests_.emplace(id, std::move(entry));
  return id;
}

void Scheduler::cancel(int64_t id) {
  const auto found = requests_.find(id);
  if (found != requests_.end()) finish(found, FinishReason::kCancelled);
}

bool Scheduler::step() {
  if (requests_.empty()) return false;
  schedule();
  std::vector<std::pair<int64_t, const Request*>> batched;
  for (const auto& [id, request] : requests_) {
    if (request.scheduled > 0) batched.emplace_back(id, &request);
  }
  // Sequences of one adapter stand together: each adapter's product is one GEMM.
  std::stable_sort(batched.begin(), batched.end(),
                   [](const auto& x, const auto& y) { return x.second->given.slot < y.second->given.slot; });
  std::vector<Sequence> sequences;
  std::vector<int64_t> asking;
  for (const auto& [id, request] : batched) {
    const auto first = request->tokens.begin() + request->cached;
    Sequence sequence{.input_ids = {first, first + request->scheduled}, .slot = request->given.slot};
    sequence.first_position = request->cached;
    sequence.blocks = request->blocks;
    sequence.asks_next = request->scheduled == request->pending();
    const auto in_prompt = static_cast<int64_t>(request->given.prompt.size()) - request->cached;
    sequence.answer_tokens = request->scheduled - std::clamp<int64_t>(in_prompt, 0, request->scheduled);
    if (sequence.asks_next) asking.push_back(id);
    sequences.push_back(std::move(sequence));
  }
  const std::span<const float> logits = model_.step(pack(sequences, Ask::kNext));
  for (auto& [id, request] : requests_) request.cached += std::exchange(request.scheduled, 0);
  const auto vocab = static_cast<size_t>(model_.vocab_size());
  for (size_t i = 0; i < asking.size(); ++i) {
    const auto found = requests_.find(asking[i]);  // a callback may have cancelled it
    if (found != requests_.end()) deliver(found, logits.subspan(i * vocab, vocab));
  }
  return !requests_.empty();
}

/// Decides how many tokens of each request this step computes: first the next token of running answers, then prompts
/// under way, then waiting ones, oldest first.
void Scheduler::schedule() {
  int64_t budget = options_.tokens_per_step, sequences = 0;
  const int64_t preempted_before = preemptions_;
  const auto take = [&](Request& request) {
    const int64_t tokens = std::min(request.pending(), budget);
    if (tokens == 0 || sequences == options_.max_sequences || !reserve(request, tokens)) return;
    request.running = true;
    request.scheduled = tokens;
    budget -= tokens;
    ++sequences;
  };
  for (auto& [id, request] : requests_) {
    if (request.running && request.pending() == 1) take(request);
  }
  for (auto& [id, request] : requests_) {
    if (request.running && request.pending() > 1) take(request);
  }
  if (preemptions_ > preempted_before) return;  // the cache is full: nobody new
  for (auto& [id, request] : requests_) {
    if (request.running) continue;
    const int64_t free_tokens = pool_.num_free() * model_.tokens_per_block();
    if (free_tokens < std::min(request.pending(), budget)) break;  // who came first goes first
    take(request);
  }
}

/// Blocks for the next `tokens` tokens of a request, from younger ones if need be. False if the request itself had to
/// give way.
bool Scheduler::reserve(Request& request, int64_t tokens) {
  const int64_t positions = request.cached + tokens;
  while (static_cast<int64_t>(request.blocks.size()) * model_.tokens_per_block() < positions) {
    if (const auto block = pool_.take()) {
      request.blocks.push_back(*block);
      continue;
    }
    const auto youngest =
        std::find_if(requests_.rbegin(), requests_.rend(), [](const auto& entry) { return entry.second.running; });
    Request& victim = youngest->second;
    preempt(victim);
    if (&victim == &request) return false;
  }
  return true;
}

void Scheduler::preempt(Request& request) {
  release_blocks(request);
  request.cached = 0;
  request.scheduled = 0;
  request.running = false;
  ++preemptions_;
}

void Scheduler::release_blocks(Request& request) {
  for (const int32_t block : request.blocks) pool_.release(block);
  request.blocks.clear();
}

void Scheduler::finish(Requests::iterator found, FinishReason reason, const std::string& error) {
  release_blocks(found->second);
  const auto on_finish = std::move(found->second.given.on_finish);
  requests_.erase(found);
  if (on_finish) on_finish(reason, error);
}

void Scheduler::deliver(Requests::iterator found, std::span<const float> logits) {
  Request& request = found->second;
  const int64_t answered = request.answered();
  bool goes_on = true;
  try {
    const SampledToken token = sample(logits, request.seen(), request.given.sampling, answered);
    if (std::find(options_.end_ids.begin(), options_.end_ids.end(), token.id) != options_.end_ids.end()) {
      goes_on = false;
    } else {
      request.tokens.push_back(token.id);
      if (request.given.on_token) goes_on = request.given.on_token(token);
    }
  } catch (const Error& error) {
    return finish(found, FinishReason::kError, answer_error(request.given.name, answered, error.what()));
  }
  if (!goes_on) return finish(found, FinishReason::kStop);
  if (request.answered() == request.given.max_new_tokens ||
      static_cast<int64_t>(request.tokens.size()) == options_.context) {
    finish(found, FinishReason::kLength);
  }
}

}  // namespace loraxs
