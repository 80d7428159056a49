#include "generate/scheduler.h"

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <utility>

#include "io/error.h"
#include "io/seeds.h"

namespace loraxs {
namespace {

/// Logits of prompts' rows that a step keeps, in numbers: 16 MB of float32.
constexpr int64_t kEchoLogits = int64_t{4} << 20;

double machine_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

Scheduler::Scheduler(StepModel& model, SchedulerOptions options)
    : model_(model),
      options_(std::move(options)),
      cache_(model.num_blocks(), model.tokens_per_block()),
      queues_(/*credit=*/options_.tokens_per_step),
      pace_(options_.gap_ms) {
  // One request alone must fit, or it would wait for ever.
  options_.context = std::min(options_.context, model.num_blocks() * model.tokens_per_block());
  if (!options_.seconds) options_.seconds = machine_seconds;
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
  const double start = options_.seconds();
  schedule();
  std::vector<Lane*> batched;
  int64_t prompt_tokens = 0;
  bool has_answers = false;
  batched.reserve(running_.size());
  for (Lane* lane : running_) {
    if (lane->scheduled == 0) continue;
    batched.push_back(lane);
    const bool answers = lane->scheduled == 1 && lane->answered() > 0;
    has_answers = has_answers || answers;
    prompt_tokens += answers ? 0 : lane->scheduled;
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
  const std::span<const float> logits = model_.step(batch);
  for (Lane* lane : batched) advance(*lane);
  state_.prompt_tokens += prompt_tokens;
  const auto vocab = static_cast<size_t>(model_.vocab_size());
  for (size_t s = 0; s < tickets.size(); ++s) {
    for (int32_t asked = batch.asked_starts[s]; asked < batch.asked_starts[s + 1]; ++asked) {
      const auto row = logits.subspan(static_cast<size_t>(asked) * vocab, vocab);
      read_row(tickets[s], batch.positions[batch.asked_rows[asked]], row);
    }
  }
  const double seconds = options_.seconds() - start;
  pace_.measured(prompt_tokens, has_answers, seconds * 1e3);
  state_.step_seconds += seconds;
  ++state_.steps;
  return !requests_.empty();
}

/// Decides how many tokens of each lane this step computes: first the next token of running answers, then prompts,
/// those under way and those that wait in one order.
void Scheduler::schedule() {
  echo_rows_ = std::max<int64_t>(1, kEchoLogits / model_.vocab_size());
  std::vector<Lane*> prompts;
  const int64_t preempted_before = state_.preemptions;
  const int64_t budget = schedule_answers(options_.tokens_per_step, prompts);
  const int64_t answers = options_.tokens_per_step - budget;
  const int64_t beside_answers = pace_.prompt_tokens(budget, answers, num_waiting_prompts(std::ssize(prompts)));
  schedule_prompts(answers > 0 ? beside_answers : budget, std::move(prompts), preempted_before);
}

/// `under_way` and those that could begin; 0 where several tenants have some: one's prompts lengthen no other's pauses.
int64_t Scheduler::num_waiting_prompts(int64_t under_way) const {
  if (running_.empty()) return under_way;
  const std::string& tenant = (*running_.begin())->request->given.tenant;
  const auto is_its = [&](const Lane* lane) { return lane->request->given.tenant == tenant; };
  const auto next = queues_.front();
  if (!std::all_of(running_.begin(), running_.end(), is_its) || (next && !is_its(&lanes_.at(next->ticket)))) return 0;
  const int64_t seats = options_.max_sequences - taken_seats();
  return under_way + std::clamp<int64_t>(std::ssize(lanes_) - std::ssize(running_), 0, std::max<int64_t>(0, seats));
}

/// -> what is left of the budget. Lanes with more than one token to compute are left to `prompts`.
int64_t Scheduler::schedule_answers(int64_t budget, std::vector<Lane*>& prompts) {
  const std::vector<Lane*> running(running_.begin(), running_.end());  // some may have to give way
  for (Lane* lane : running) {
    if (!lane->running) continue;
    if (lane->pending() > 1) {
      prompts.push_back(lane);
    } else {
      budget -= take(*lane, budget);
    }
  }
  return budget;
}

/// Where others had to give way in this step, of which there were `preempted_before` before it, nobody new begins.
void Scheduler::schedule_prompts(int64_t budget, std::vector<Lane*> prompts, int64_t preempted_before) {
  const auto turn_of = [&](const Lane* lane) {
    return queues_.turn(lane->request->given.tenant, lane->request->given.priority, lane->ticket);
  };
  std::sort(prompts.begin(), prompts.end(), [&](const Lane* x, const Lane* y) { return turn_of(x) < turn_of(y); });
  bool admits = true;
  for (size_t at = 0; budget > 0;) {
    const auto waiting = queues_.front();
    admits = admits && waiting && state_.preemptions == preempted_before;
    if (at < prompts.size() && !(admits && *waiting < turn_of(prompts[at]))) {
      Lane& lane = *prompts[at++];
      if (lane.running) budget -= take(lane, budget);
      continue;
    }
    if (!admits) return;
    Lane& lane = lanes_.at(waiting->ticket);
    admits = admit(lane);  // whose turn it is waits for room, and all behind it
    if (admits) budget -= take(lane, budget);
  }
}

int64_t Scheduler::take(Lane& lane, int64_t budget) {
  int64_t tokens = std::min(lane.pending(), budget);
  const bool echoes = lane.request->known_prompt() < lane.request->prompt_size();
  if (echoes) tokens = std::min(tokens, echo_rows_);
  if (tokens <= 0 || !reserve(lane, tokens)) return 0;
  if (echoes) echo_rows_ -= tokens;
  lane.scheduled = tokens;
  queues_.charge(lane.request->given.tenant, tokens);
  return tokens;
}

/// Lets a waiting lane run if a seat for each of its samples is free, and blocks for all that it has to compute beside
/// what those that run have to.
bool Scheduler::admit(Lane& lane) {
  if (taken_seats() + lane.num_samples() > options_.max_sequences) return false;
  int64_t promised = 0;
  for (const Lane* other : running_) {
    promised += std::max<int64_t>(0, blocks_for(other->size()) - static_cast<int64_t>(other->blocks.size()));
  }
  ActiveRequest& request = *lane.request;
  if (options_.prefix_reuse && !request.given.prefix_key.empty()) {
    // The last token is computed, and so is every row that is asked for.
    const auto most = static_cast<size_t>(request.known_prompt() - 1);
    lane.blocks = cache_.find(request.given.prefix_key, std::span<const int32_t>(request.given.prompt).first(most));
    lane.kept = static_cast<int64_t>(lane.blocks.size());
    lane.cached = lane.kept * model_.tokens_per_block();
  }
  const int64_t needed = blocks_for(lane.size()) - static_cast<int64_t>(lane.blocks.size());
  if (promised + needed > cache_.num_free()) {
    release_blocks(lane);
    return false;
  }
  if (!request.cached_tokens) {
    request.cached_tokens = lane.cached;
    state_.cached_tokens += lane.cached;
  }
  queues_.erase(request.given.tenant, request.given.priority, lane.ticket, /*its_turn=*/true);
  lane.running = true;
  running_.insert(&lane);
  return true;
}

/// Samples that run, or will from their prompt's end on.
int64_t Scheduler::taken_seats() const {
  int64_t seats = 0;
  for (const Lane* lane : running_) seats += lane->num_samples();
  return seats;
}

int64_t Scheduler::blocks_for(int64_t tokens) const {
  return (tokens + model_.tokens_per_block() - 1) / model_.tokens_per_block();
}

/// Blocks for the next `tokens` tokens of a lane that nobody else uses, from younger ones if need be. False if the lane
/// itself had to give way.
bool Scheduler::reserve(Lane& lane, int64_t tokens) {
  const auto written = static_cast<size_t>(lane.cached / model_.tokens_per_block());
  const auto needed = static_cast<size_t>(blocks_for(lane.cached + tokens));
  for (;;) {
    const bool copies = written < lane.blocks.size() && cache_.references(lane.blocks[written]) > 1;
    if (!copies && lane.blocks.size() >= needed) return true;
    if (const auto block = cache_.take()) {
      if (copies) {
        model_.copy_block(lane.blocks[written], *block);
        cache_.release(std::exchange(lane.blocks[written], *block));
      } else {
        lane.blocks.push_back(*block);
      }
      continue;
    }
    Lane& victim = **running_.rbegin();
    preempt(victim);
    if (&victim == &lane) return false;
  }
}

void Scheduler::preempt(Lane& lane) {
  running_.erase(&lane);
  release_blocks(lane);
  lane.scheduled = 0;
  lane.running = false;
  enqueue(lane);
  ++state_.preemptions;
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
