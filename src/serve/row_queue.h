// serve/row_queue.h: who waits for a place among the rows in memory, and whose turn it is. Without LibTorch.
#pragma once
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

namespace loraxs {

/// Of one room: its places hold one adapter each, and requests for the same adapter share one. Places are given at the
/// highest priority first, there to the tenant that uses the fewest of them, and of several to the one whose last turn
/// (or arrival, where it came later) is longest ago: round robin where there are more tenants than places. While the
/// one whose turn it is finds no place, others may still share places in use, but only so many times: else a crowd that
/// renews its requests would never let go of one. One thread at a time.
class RowQueue {
 public:
  struct Request {
    int64_t id = 0;
    std::string tenant;
    int64_t priority = 0;  // higher goes first
    std::string key;       // of the adapter
  };

  /// It waits.
  void push(Request request);
  /// It waits no longer, or lets go of its place. Nothing happens where it is not known.
  void erase(int64_t id);
  /// Asks `take` for places in turn until it finds none. -> who got one. Without a push or an erase since the last call
  /// nothing has changed, and nobody is asked for; but where no request has a place, others may have let go of one.
  std::vector<int64_t> give(const std::function<bool(int64_t id)>& take);

  int64_t num_waiting() const { return num_waiting_; }

  static constexpr int64_t kMostPasses = 16;

 private:
  struct Tenant {
    std::map<int64_t, std::deque<int64_t>, std::greater<>> waiting;  // by priority: ids, the oldest first
    std::map<std::string, int64_t> uses;                             // by key: requests of its own that have the place
    int64_t since = 0;                                               // its last turn or its arrival
  };
  struct Known {
    Request request;
    bool has_place = false;
  };

  /// Whose turn it is; there is one that waits.
  int64_t front() const;
  void grant(Known& known);
  void stop_waiting(const Request& request);
  /// Who waits for an adapter that has a place in use; -1: nobody.
  int64_t sharer() const;

  std::unordered_map<int64_t, Known> known_;
  std::map<std::string, Tenant> tenants_;             // who waits or uses places
  std::map<std::string, int64_t> in_use_;             // by key: requests that have its place
  std::map<std::string, std::deque<int64_t>> wants_;  // by key: ids that wait for it
  int64_t num_waiting_ = 0;
  int64_t turns_ = 0;   // and arrivals
  int64_t passes_ = 0;  // of the one whose turn it is
  bool changed_ = false;
};

}  // namespace loraxs
