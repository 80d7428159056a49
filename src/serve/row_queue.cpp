#include "serve/row_queue.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace loraxs {

void RowQueue::push(Request request) {
  const auto [at, fresh] = tenants_.try_emplace(request.tenant);
  Tenant& tenant = at->second;
  if (tenant.waiting.empty()) tenant.since = ++turns_;
  tenant.waiting[request.priority].push_back(request.id);
  wants_[request.key].push_back(request.id);
  ++num_waiting_;
  changed_ = true;
  const int64_t id = request.id;
  known_.emplace(id, Known{.request = std::move(request)});
}

void RowQueue::erase(int64_t id) {
  const auto found = known_.find(id);
  if (found == known_.end()) return;
  const Request& request = found->second.request;
  if (found->second.has_place) {
    const auto let_go = [&](std::map<std::string, int64_t>& counts) {
      const auto at = counts.find(request.key);
      if (--at->second == 0) counts.erase(at);
    };
    let_go(in_use_);
    let_go(tenants_.at(request.tenant).uses);
  } else {
    stop_waiting(request);
  }
  const auto tenant = tenants_.find(request.tenant);
  if (tenant->second.waiting.empty() && tenant->second.uses.empty()) tenants_.erase(tenant);
  known_.erase(found);
  changed_ = true;
}

/// Takes it out of all that waits.
void RowQueue::stop_waiting(const Request& request) {
  const auto drop = [&](auto& queues, const auto& name) {
    const auto at = queues.find(name);
    std::erase(at->second, request.id);
    if (at->second.empty()) queues.erase(at);
  };
  drop(tenants_.at(request.tenant).waiting, request.priority);
  drop(wants_, request.key);
  --num_waiting_;
}

void RowQueue::grant(Known& known) {
  const Request& request = known.request;
  stop_waiting(request);
  Tenant& tenant = tenants_.at(request.tenant);
  tenant.since = ++turns_;
  ++tenant.uses[request.key];
  ++in_use_[request.key];
  known.has_place = true;
}

int64_t RowQueue::front() const {
  const Tenant* next = nullptr;
  const auto place = [](const Tenant& tenant) {
    return std::tuple(-tenant.waiting.begin()->first, tenant.uses.size(), tenant.since);
  };
  for (const auto& [name, tenant] : tenants_) {
    if (!tenant.waiting.empty() && (next == nullptr || place(tenant) < place(*next))) next = &tenant;
  }
  return next->waiting.begin()->second.front();
}

int64_t RowQueue::sharer() const {
  int64_t oldest = -1;
  for (const auto& [key, ids] : wants_) {
    if (in_use_.contains(key) && (oldest < 0 || ids.front() < oldest)) oldest = ids.front();
  }
  return oldest;
}

std::vector<int64_t> RowQueue::give(const std::function<bool(int64_t id)>& take) {
  std::vector<int64_t> given;
  if (!std::exchange(changed_, false) && !in_use_.empty()) return given;
  while (num_waiting_ > 0) {
    const int64_t id = front();
    if (!take(id)) break;
    passes_ = 0;
    grant(known_.at(id));
    given.push_back(id);
  }
  for (; num_waiting_ > 0 && passes_ < kMostPasses; ++passes_) {
    const int64_t id = sharer();
    if (id < 0 || !take(id)) break;
    grant(known_.at(id));
    given.push_back(id);
  }
  return given;
}

}  // namespace loraxs
