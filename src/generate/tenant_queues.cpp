#include "generate/tenant_queues.h"

#include <algorithm>

namespace loraxs {

/// Whatever decides a tenant's places in the order changes between leaving and joining it.
void TenantQueues::change(Tenant& tenant, const std::function<void()>& how) {
  const auto place = [&](const auto& queue) { return Turn{queue.first, tenant.served, *queue.second.begin()}; };
  for (const auto& queue : tenant.tickets) order_.erase(place(queue));
  how();
  for (const auto& queue : tenant.tickets) order_.insert(place(queue));
}

TenantQueues::Tenant& TenantQueues::find(const std::string& name) {
  return tenants_.try_emplace(name, Tenant{.served = floor_ - credit_}).first->second;
}

void TenantQueues::push(const std::string& tenant, int64_t priority, const Ticket& ticket) {
  Tenant& queues = find(tenant);
  change(queues, [&] {
    if (queues.waiting == 0) queues.served = std::max(queues.served, floor_ - credit_);
    queues.tickets[priority].insert(ticket);
    ++queues.waiting;
    ++size_;
  });
}

void TenantQueues::erase(const std::string& tenant, int64_t priority, const Ticket& ticket, bool its_turn) {
  Tenant& queues = find(tenant);
  change(queues, [&] {
    const auto queue = queues.tickets.find(priority);
    if (queue == queues.tickets.end() || queue->second.erase(ticket) == 0) return;
    if (queue->second.empty()) queues.tickets.erase(queue);
    --queues.waiting;
    --size_;
  });
  if (!its_turn) return;
  floor_ = std::max(floor_, queues.served);
  forget_the_served();
}

void TenantQueues::charge(const std::string& tenant, int64_t tokens) {
  Tenant& queues = find(tenant);
  change(queues, [&] { queues.served += tokens; });
}

/// Tenants of whom nothing is known but what push() would assume. A walk that pays for itself: half of them at least
/// are away.
void TenantQueues::forget_the_served() {
  constexpr size_t kFew = 64;
  if (tenants_.size() < kFew + 2 * order_.size()) return;
  std::erase_if(tenants_, [&](const auto& entry) {
    return entry.second.waiting == 0 && entry.second.served <= floor_ - credit_;
  });
}

std::optional<Turn> TenantQueues::front() const {
  return order_.empty() ? std::nullopt : std::optional(*order_.begin());
}

int64_t TenantQueues::waiting(const std::string& tenant) const {
  const auto found = tenants_.find(tenant);
  return found == tenants_.end() ? 0 : found->second.waiting;
}

Turn TenantQueues::turn(const std::string& tenant, int64_t priority, const Ticket& ticket) const {
  const auto found = tenants_.find(tenant);
  return {priority, found == tenants_.end() ? floor_ - credit_ : found->second.served, ticket};
}

}  // namespace loraxs
