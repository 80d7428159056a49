#include "generate/scheduler.h"

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <utility>

#include "io/error.h"
#include "io/seeds.h"

namespace loraxs {
namespace {

/// Seconds of steps that may be given up: a part of those that were computed, and so many at most.
constexpr double kPartLost = 0.1, kMostLost = 0.5;

double machine_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

Scheduler::Scheduler(StepModel& model, SchedulerOptions options)
    : model_(model),
      options_(std::move(options)),
      cache_(model.num_blocks(), model.tokens_per_block()),
      queues_(/*credit=*/options_.tokens_per_step),
      pace_(options_.gap_ms),
      share_(options_.most_longer, queues_),
      may_lose_(kMostLost) {
  // One request alone must fit, or it would wait for ever.
  options_.context = std::min(options_.context, model.num_blocks() * model.tokens_per_block());
  if (!options_.seconds) options_.seconds = machine_seconds;
  if (!options_.interrupt) return;
  model_.interrupt_when([this] { return may_lose_ >= options_.seconds() - step_start_ && options_.interrupt(); });
}

Scheduler::~Scheduler() {
  if (options_.interrupt) model_.interrupt_when({});
}

int64_t Scheduler::submit(GenerationRequest request) {
  request.sampling.check(request.name);
  request.sampling.check_ids(request.name, model_.vocab_size());
  check_prompt(request.name, request.prompt, model_.vocab_size(), options_.context, request.max_new_tokens);
  if (request.samples < 1 || request.samples > options_.max_sequences) {
    throw Error(concat(request.name, ": samples: expected 1 to ", options_.max_sequences,
                       ", the sequences of a step, found ", request.samples));
  }
  const int64_t id = next_id_++;
  const auto active = std::make_shared<ActiveRequest>(ActiveRequest{.given = std::move(request), .id = id});
  Lane lane{.request = active, .ticket = {id, 0}, .tokens = active->given.prompt};
  for (int64_t k = 0; k < active->given.samples; ++k) {
    lane.samples.push_back(k);
    active->samples.emplace(k, lane.ticket);
  }
  requests_.emplace(id, active);
  enqueue(lanes_.emplace(lane.ticket, std::move(lane)).first->second);
  return id;
}

void Scheduler::cancel(int64_t id) {
  const auto found = requests_.find(id);
  if (found != requests_.end()) end_request(RequestPtr(found->second), FinishReason::kCancelled);
}

void Scheduler::cancel(int64_t id, int64_t sample) {
  const auto found = requests_.find(id);
  if (found == requests_.end() || !found->second->samples.contains(sample)) return;
  end_sample(RequestPtr(found->second), sample, FinishReason::kCancelled);
}

SchedulerState Scheduler::state() const {
  SchedulerState state = state_;
  state.running = static_cast<int64_t>(running_.size());
  state.waiting = queues_.size();
  state.blocks = cache_.num_blocks();
  state.free_blocks = cache_.num_free();
  return state;
}

bool Scheduler::step() {
  if (requests_.empty()) return false;
  step_start_ = options_.seconds();
  const double saved_before_ms = share_.saved_ms();
  schedule();
  std::vector<Lane*> batched;
  int64_t prompt_tokens = 0;
  int64_t answers = 0;
  batched.reserve(running_.size());
  for (Lane* lane : running_) {
    if (lane->scheduled == 0) continue;
    batched.push_back(lane);
    const bool is_answer = lane->scheduled == 1 && lane->answered() > 0;
    answers += is_answer ? 1 : 0;
    prompt_tokens += is_answer ? 0 : lane->scheduled;
  }
  if (batched.empty()) throw std::logic_error("Scheduler: requests are there, and none fits into the cache");
  // Sequences of one adapter stand together: each adapter's product is one GEMM.
  std::stable_sort(batched.begin(), batched.end(),
                   [](const Lane* x, const Lane* y) { return x->request->given.slot < y->request->given.slot; });
  std::vector<Sequence> sequences;
  std::vector<Ticket> tickets;  // callbacks may end lanes
  sequences.reserve(batched.size());
  tickets.reserve(batched.size());
  for (const Lane* lane : batched) {
    sequences.push_back(lane->sequence());
    tickets.push_back(lane->ticket);
  }
  const PackedBatch batch = pack(sequences, Ask::kNext);
  std::span<const float> logits;
  try {
    logits = model_.step(batch);
  } catch (const StepInterrupted&) {
    share_.restore(saved_before_ms);
    state_.in_step = 0;
    give_up(batched);
    return true;
  }
  for (Lane* lane : batched) advance(*lane);
  state_.in_step = std::ssize(batched);
  state_.prompt_tokens += prompt_tokens;
  const auto vocab = static_cast<size_t>(model_.vocab_size());
  for (size_t s = 0; s < tickets.size(); ++s) {
    for (int32_t asked = batch.asked_starts[s]; asked < batch.asked_starts[s + 1]; ++asked) {
      const auto row = logits.subspan(static_cast<size_t>(asked) * vocab, vocab);
      read_row(tickets[s], batch.positions[batch.asked_rows[asked]], row);
    }
  }
  const double seconds = options_.seconds() - step_start_;
  cost_.measured(prompt_tokens, answers, seconds * 1e3);
  may_lose_ = std::min(kMostLost, may_lose_ + kPartLost * seconds);
  state_.step_seconds += seconds;
  ++state_.steps;
  return !requests_.empty();
}

/// Nothing of the step counts but the time. Who was admitted or had to give way stays where it is.
void Scheduler::give_up(const std::vector<Lane*>& batched) {
  for (Lane* lane : batched) queues_.charge(lane->request->given.tenant, -std::exchange(lane->scheduled, 0));
  const double seconds = options_.seconds() - step_start_;
  may_lose_ -= seconds;
  state_.step_seconds += seconds;
  ++state_.interruptions;
}

int64_t Scheduler::blocks_for(int64_t tokens) const {
  return (tokens + model_.tokens_per_block() - 1) / model_.tokens_per_block();
}

void Scheduler::release_blocks(Lane& lane) {
  for (auto block = lane.blocks.rbegin(); block != lane.blocks.rend(); ++block) cache_.release(*block);
  lane.blocks.clear();
  lane.kept = 0;
  lane.cached = 0;
}

void Scheduler::enqueue(const Lane& lane) {
  queues_.push(lane.request->given.tenant, lane.request->given.priority, lane.ticket);
}

/// The scheduled tokens are computed. Blocks that hold tokens of the prompt alone, and so were computed as a prompt,
/// may be used by others from now on.
void Scheduler::advance(Lane& lane) {
  lane.cached += std::exchange(lane.scheduled, 0);
  lane.last_step = state_.steps;
  const GenerationRequest& given = lane.request->given;
  if (!options_.prefix_reuse || given.prefix_key.empty()) return;
  const int64_t whole = model_.tokens_per_block(), computed = std::min(lane.cached, lane.request->prompt_size());
  for (; (lane.kept + 1) * whole <= computed; ++lane.kept) {
    const auto tokens = std::span<const int32_t>(given.prompt).subspan(static_cast<size_t>(lane.kept * whole));
    const int32_t before = lane.kept == 0 ? PrefixCache::kNone : lane.blocks[lane.kept - 1];
    int32_t& block = lane.blocks[lane.kept];
    block = cache_.keep(given.prefix_key, before, tokens.first(static_cast<size_t>(whole)), block);
  }
}

/// The logits behind position `position` of a lane, if a callback has not ended it.
void Scheduler::read_row(const Ticket& ticket, int64_t position, std::span<const float> logits) {
  const auto found = lanes_.find(ticket);
  if (found == lanes_.end()) return;
  Lane& lane = found->second;
  ActiveRequest& request = *lane.request;
  const int64_t next = position + 1;
  if (next >= request.prompt_size()) return lane.answered() == 0 ? start_answers(lane, logits) : deliver(lane, logits);
  try {
    const int64_t top = std::max<int64_t>(request.given.sampling.top_logprobs, 0);
    request.prompt_logprobs.push_back(token_logprobs(logits, request.given.prompt[next], top));
  } catch (const Error& error) {
    const std::string where = concat(request.given.name, ": token ", next + 1, " of the prompt: ");
    end_request(RequestPtr(lane.request), FinishReason::kError, where + error.what());
  }
}

/// The prompt is there: every sample takes its first token from the same logits.
void Scheduler::start_answers(Lane& lane, std::span<const float> logits) {
  const RequestPtr request = lane.request;
  try {
    if (request->given.on_start) request->given.on_start(request->cached_tokens.value_or(0));
    if (request->given.prompt_logprobs && request->given.on_prompt) request->given.on_prompt(request->prompt_logprobs);
  } catch (const Error& error) {
    return end_request(request, FinishReason::kError, concat(request->given.name, ": ", error.what()));
  }
  if (request->samples.empty()) return;  // cancelled meanwhile
  for (const Ticket& ticket : fork(lane)) {
    const auto found = lanes_.find(ticket);
    if (found != lanes_.end()) deliver(found->second, logits);
  }
}

/// A lane for each sample; they share all blocks, and whoever writes into one that others use copies it before.
std::vector<Ticket> Scheduler::fork(Lane& lane) {
  const RequestPtr& request = lane.request;
  const std::vector<int64_t> samples = lane.samples;
  std::vector<Ticket> tickets;
  tickets.reserve(samples.size());
  for (const int64_t sample : samples) {
    Lane* own = &lane;
    if (sample != samples.front()) {
      for (const int32_t block : lane.blocks) cache_.share(block);
      own = &lanes_.emplace(Ticket(request->id, sample), lane).first->second;
      own->ticket = {request->id, sample};
      running_.insert(own);
    }
    own->samples = {sample};
    own->sampling = request->given.sampling;
    if (sample > 0) own->sampling.seed = mix_seed(own->sampling.seed, static_cast<uint64_t>(sample));
    request->samples[sample] = own->ticket;
    tickets.push_back(own->ticket);
  }
  return tickets;
}

void Scheduler::deliver(Lane& lane, std::span<const float> logits) {
  const RequestPtr request = lane.request;
  const int64_t sample = lane.samples.front(), answered = lane.answered();
  bool goes_on = true;
  try {
    const SampledToken token = loraxs::sample(logits, lane.seen(), lane.sampling, answered);
    const bool ends = !request->given.ignore_eos &&
                      std::find(options_.end_ids.begin(), options_.end_ids.end(), token.id) != options_.end_ids.end();
    if (ends) {
      goes_on = false;
    } else {
      lane.tokens.push_back(token.id);
      ++state_.answer_tokens;
      if (request->given.on_token) goes_on = request->given.on_token(sample, token);
      if (!request->samples.contains(sample)) return;  // it cancelled itself
    }
  } catch (const Error& error) {
    if (!request->samples.contains(sample)) return;
    return end_sample(request, sample, FinishReason::kError, answer_error(request->given.name, answered, error.what()));
  }
  if (!goes_on) return end_sample(request, sample, FinishReason::kStop);
  if (lane.answered() == request->given.max_new_tokens || lane.size() == options_.context) {
    end_sample(request, sample, FinishReason::kLength);
  }
}

void Scheduler::end_sample(const RequestPtr& request, int64_t sample, FinishReason reason, const std::string& error) {
  const auto found = lanes_.find(request->samples.at(sample));
  Lane& lane = found->second;
  std::erase(lane.samples, sample);
  if (lane.samples.empty()) {
    release_blocks(lane);
    if (lane.running) {
      running_.erase(&lane);
    } else {
      queues_.erase(request->given.tenant, request->given.priority, lane.ticket, /*its_turn=*/false);
    }
    lanes_.erase(found);
  }
  request->samples.erase(sample);
  if (request->samples.empty()) {
    request->given.holds.reset();
    requests_.erase(request->id);
  }
  if (request->given.on_finish) request->given.on_finish(sample, reason, error);
}

void Scheduler::end_request(const RequestPtr& request, FinishReason reason, const std::string& error) {
  while (!request->samples.empty()) end_sample(request, request->samples.begin()->first, reason, error);
}

}  // namespace loraxs
