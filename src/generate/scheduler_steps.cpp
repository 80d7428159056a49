// What a step computes.
#include <algorithm>
#include <utility>

#include "generate/scheduler.h"

namespace loraxs {
namespace {

/// Logits of prompts' rows that a step keeps, in numbers: 16 MB of float32.
constexpr int64_t kEchoLogits = int64_t{4} << 20;

}  // namespace

/// Decides how many tokens of each lane this step computes.
void Scheduler::schedule() {
  echo_rows_ = std::max<int64_t>(1, kEchoLogits / model_.vocab_size());
  admit_newcomers();
  if (share_.shares(running_)) {
    schedule_shares();
    if (std::any_of(running_.begin(), running_.end(), [](const Lane* lane) { return lane->scheduled > 0; })) return;
    // All that was due had to give way to others.
  }
  schedule_all();
}

/// First the next token of running answers, then prompts, those under way and those that wait in one order.
void Scheduler::schedule_all() {
  std::vector<Lane*> prompts;
  const int64_t preempted_before = state_.preemptions;
  const int64_t budget = schedule_answers({running_.begin(), running_.end()}, options_.tokens_per_step, prompts);
  const int64_t answers = options_.tokens_per_step - budget;
  const int64_t beside_answers = pace_.prompt_tokens(cost_, budget, answers, num_waiting_prompts(std::ssize(prompts)));
  schedule_prompts(answers > 0 ? beside_answers : budget, std::move(prompts), /*shares=*/false, preempted_before);
}

/// The same for what is due of each tenant; then what others have beyond that, as far as there are savings.
void Scheduler::schedule_shares() {
  const TenantShare::Plan plan = share_.plan(running_, options_.max_sequences);
  std::vector<Lane*> prompts;
  const int64_t preempted_before = state_.preemptions;
  const int64_t budget = schedule_answers(plan.due, options_.tokens_per_step, prompts);
  const int64_t answers = options_.tokens_per_step - budget;
  const int64_t beside_answers = pace_.prompt_tokens(cost_, budget, answers, num_waiting_prompts(std::ssize(prompts)));
  const int64_t prompt_tokens = schedule_prompts(answers > 0 ? beside_answers : budget, std::move(prompts),
                                                 /*shares=*/true, preempted_before);
  const double next_ms = !plan.rest.empty() && plan.rest.front()->pending() == 1
                             ? cost_.answers_ms(answers + 1) - cost_.answers_ms(answers)
                             : static_cast<double>(Pace::kSmallestChunk) * cost_.token_ms();
  share_.save(cost_.answers_ms(answers) + static_cast<double>(prompt_tokens) * cost_.token_ms(), next_ms);
  schedule_rest(plan.rest, answers, budget - prompt_tokens, state_.preemptions == preempted_before);
}

/// Where one tenant's sequences have every seat, another one's first is not to wait for its prompt's turn.
void Scheduler::admit_newcomers() {
  if (options_.most_longer <= 0) return;
  while (const auto waiting = queues_.front()) {
    Lane& lane = lanes_.at(waiting->ticket);
    const std::string& tenant = lane.request->given.tenant;
    const bool runs = std::any_of(running_.begin(), running_.end(),
                                  [&](const Lane* other) { return other->request->given.tenant == tenant; });
    if (runs || !admit(lane)) return;
  }
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
int64_t Scheduler::schedule_answers(const std::vector<Lane*>& lanes, int64_t budget, std::vector<Lane*>& prompts) {
  for (Lane* lane : lanes) {
    if (!lane->running) continue;  // it had to give way
    if (lane->pending() > 1) {
      prompts.push_back(lane);
    } else {
      budget -= take(*lane, budget);
    }
  }
  return budget;
}

/// Where others had to give way in this step, of which there were `preempted_before` before it, nobody new begins; nor,
/// where it `shares`, who has its part. -> tokens.
int64_t Scheduler::schedule_prompts(int64_t budget, std::vector<Lane*> prompts, bool shares, int64_t preempted_before) {
  const auto turn_of = [&](const Lane* lane) {
    return queues_.turn(lane->request->given.tenant, lane->request->given.priority, lane->ticket);
  };
  std::sort(prompts.begin(), prompts.end(), [&](const Lane* x, const Lane* y) { return turn_of(x) < turn_of(y); });
  bool admits = true;
  int64_t taken = 0;
  for (size_t at = 0; taken < budget;) {
    const auto waiting = queues_.front();
    admits = admits && waiting && state_.preemptions == preempted_before &&
             (!shares || share_.has_part_for(running_, lanes_.at(waiting->ticket).request->given));
    if (at < prompts.size() && !(admits && *waiting < turn_of(prompts[at]))) {
      Lane& lane = *prompts[at++];
      if (lane.running) taken += take(lane, budget - taken);
      continue;
    }
    if (!admits) break;
    Lane& lane = lanes_.at(waiting->ticket);
    admits = admit(lane);  // whose turn it is waits for room, and all behind it
    if (admits) taken += take(lane, budget - taken);
  }
  return taken;
}

/// Who waited longest goes first, and all others wait until there are savings for it. Those that wait for a seat come
/// behind those that have one.
void Scheduler::schedule_rest(const std::vector<Lane*>& rest, int64_t answers, int64_t budget, bool admits) {
  int64_t sequences = 0;
  for (const Lane* lane : running_) sequences += lane->scheduled > 0 ? 1 : 0;
  const auto is_full = [&] { return budget <= 0 || sequences >= options_.max_sequences; };
  for (Lane* lane : rest) {
    if (is_full()) return;
    if (!lane->running) continue;
    const bool answers_next = lane->pending() == 1;
    const int64_t taken = take_of_rest(*lane, answers, budget);
    if (taken == 0) return;
    budget -= taken;
    answers += answers_next ? 1 : 0;
    ++sequences;
  }
  while (admits && !is_full()) {
    const auto waiting = queues_.front();
    if (!waiting) return;
    Lane& lane = lanes_.at(waiting->ticket);
    if (Pace::kSmallestChunk * cost_.token_ms() > share_.saved_ms() || !admit(lane)) return;
    const int64_t taken = take_of_rest(lane, answers, budget);
    if (taken == 0) return;
    budget -= taken;
    ++sequences;
  }
}

/// -> tokens; 0 where they are more than was saved, or others would have to give way.
int64_t Scheduler::take_of_rest(Lane& lane, int64_t answers, int64_t budget) {
  int64_t tokens = 1;
  double token_ms = cost_.answers_ms(answers + 1) - cost_.answers_ms(answers);
  if (lane.pending() > 1) {
    token_ms = cost_.token_ms();
    const int64_t least = std::min({Pace::kSmallestChunk, lane.pending(), budget});
    tokens = token_ms > 0 ? static_cast<int64_t>(std::max(0.0, share_.saved_ms()) / token_ms) : least;
    tokens = std::min({tokens, lane.pending(), budget});
    if (tokens < least) return 0;
  } else if (token_ms > share_.saved_ms()) {
    return 0;
  }
  if (blocks_for(lane.cached + tokens) - std::ssize(lane.blocks) + 1 > cache_.num_free()) return 0;
  tokens = take(lane, tokens);
  share_.spend(static_cast<double>(tokens) * token_ms);
  return tokens;
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
  if (!has_seat(lane)) return false;
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

/// One of max_sequences for each sample; or, where steps are shared, of its tenant's part of them.
bool Scheduler::has_seat(const Lane& lane) const {
  if (taken_seats() + lane.num_samples() <= options_.max_sequences) return true;
  if (options_.most_longer <= 0) return false;
  const std::string& tenant = lane.request->given.tenant;
  std::set<std::string_view> tenants = {tenant};
  int64_t own = lane.num_samples();
  for (const Lane* other : running_) {
    tenants.insert(other->request->given.tenant);
    if (other->request->given.tenant == tenant) own += other->num_samples();
  }
  return own <= options_.max_sequences / std::ssize(tenants);
}

/// Samples that run, or will from their prompt's end on.
int64_t Scheduler::taken_seats() const {
  int64_t seats = 0;
  for (const Lane* lane : running_) seats += lane->num_samples();
  return seats;
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

}  // namespace loraxs
