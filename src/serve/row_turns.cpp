#include "serve/row_turns.h"

namespace loraxs {

void RowTurns::push(int64_t id, const Caller& caller, ServedModelPtr model) {
  RowQueue& queue = queues_[shelf_.room_of(*model)];
  queue.push({.id = id, .tenant = caller.tenant, .priority = caller.priority, .key = model->key});
  known_.emplace(id, Known{.queue = &queue, .model = std::move(model)});
}

void RowTurns::erase(int64_t id) {
  const auto found = known_.find(id);
  if (found == known_.end()) return;
  if (found->second.loading) loading_.remove(id);
  found->second.loading.reset();
  found->second.queue->erase(id);
  known_.erase(found);
}

std::vector<std::pair<int64_t, std::shared_ptr<const PinnedRow>>> RowTurns::next() {
  const auto take = [&](int64_t id) {
    Known& known = known_.at(id);
    known.loading = shelf_.pin(*known.model);
    return known.loading != nullptr;
  };
  for (auto& [room, queue] : queues_) {
    for (const int64_t id : queue.give(take)) loading_.push_back(id);
  }
  std::vector<std::pair<int64_t, std::shared_ptr<const PinnedRow>>> ready;
  for (auto each = loading_.begin(); each != loading_.end();) {
    Known& known = known_.at(*each);
    if (known.loading->ready()) {
      ready.emplace_back(*each, std::move(known.loading));
      each = loading_.erase(each);
    } else {
      ++each;
    }
  }
  return ready;
}

bool RowTurns::is_loading(int64_t id) const {
  const auto found = known_.find(id);
  return found != known_.end() && found->second.loading;
}

bool RowTurns::is_ready(int64_t id) const { return is_loading(id) && known_.at(id).loading->ready(); }

int64_t RowTurns::num_waiting() const {
  int64_t waiting = std::ssize(loading_);
  for (const auto& [room, queue] : queues_) waiting += queue.num_waiting();
  return waiting;
}

}  // namespace loraxs
