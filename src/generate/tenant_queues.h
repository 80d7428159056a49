// generate/tenant_queues.h: who waits, and whose turn it is.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

namespace loraxs {

using Ticket = std::pair<int64_t, int64_t>;  // request and sample: the lower is the older

/// A place in the order: the higher priority, then the tenant that was served less, then the older ticket.
struct Turn {
  int64_t priority = 0;
  int64_t served = 0;
  Ticket ticket;

  bool operator==(const Turn&) const = default;
  bool operator<(const Turn& other) const {
    if (priority != other.priority) return priority > other.priority;
    return std::pair(served, ticket) < std::pair(other.served, other.ticket);
  }
};

/// Fair by tokens: of the tenants that wait at the highest priority, the one that was served the fewest tokens goes
/// next, with its oldest ticket. This is deficit round robin with a quantum of one token, where what is computed for a
/// tenant is charged as it is computed (answers' lengths are not known before); as in VTC (Sheng et al., arXiv
/// 2401.00588), a tenant that comes back counts as served like the last one whose turn it was, less `credit` tokens at
/// most: what it did not use while it was away is not kept. All takes O(log tenants + log tickets).
class TenantQueues {
 public:
  explicit TenantQueues(int64_t credit) : credit_(credit) {}

  void push(const std::string& tenant, int64_t priority, const Ticket& ticket);
  /// `ticket` waits no longer; `its_turn`: because it was front()'s.
  void erase(const std::string& tenant, int64_t priority, const Ticket& ticket, bool its_turn);
  void charge(const std::string& tenant, int64_t tokens);

  std::optional<Turn> front() const;
  /// Where a ticket that does not wait would stand.
  Turn turn(const std::string& tenant, int64_t priority, const Ticket& ticket) const;
  int64_t waiting(const std::string& tenant) const;  // tickets of all priorities
  int64_t size() const { return size_; }
  int64_t num_tenants() const { return static_cast<int64_t>(tenants_.size()); }  // of whom something is known

 private:
  struct Tenant {
    int64_t served = 0;
    int64_t waiting = 0;
    std::map<int64_t, std::set<Ticket>> tickets;  // by priority
  };

  void change(Tenant& tenant, const std::function<void()>& how);
  Tenant& find(const std::string& name);
  void forget_the_served();

  int64_t credit_;
  int64_t floor_ = 0;  // the tokens of the last one whose turn it was
  int64_t size_ = 0;
  std::map<std::string, Tenant> tenants_;
  std::set<Turn> order_;  // the oldest ticket of each tenant and priority
};

}  // namespace loraxs
