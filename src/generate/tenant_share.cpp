#include "generate/tenant_share.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

namespace loraxs {
namespace {

using Counts = std::map<std::string, int64_t>;  // sequences by tenant

int64_t fewest_of(const Counts& counts) {
  const auto less = [](const auto& x, const auto& y) { return x.second < y.second; };
  return std::min_element(counts.begin(), counts.end(), less)->second;
}

bool waited_longer(const Lane* x, const Lane* y) {
  return std::pair(x->last_step, x->ticket) < std::pair(y->last_step, y->ticket);
}

}  // namespace

bool TenantShare::shares(const Running& running) const {
  if (most_longer_ <= 0 || running.empty()) return false;
  const std::string& first = (*running.begin())->request->given.tenant;
  return std::any_of(running.begin(), running.end(),
                     [&](const Lane* lane) { return lane->request->given.tenant != first; });
}

int64_t TenantShare::part_beside(int64_t fewest) const {
  return static_cast<int64_t>(std::max(1.0, most_longer_) * static_cast<double>(fewest));
}

TenantShare::Plan TenantShare::plan(const Running& running, int64_t most) const {
  Plan plan;
  Counts all, due;  // of this priority or a higher one; all: with those that wait
  for (auto at = running.begin(); at != running.end();) {
    const int64_t priority = (*at)->request->given.priority;
    std::map<std::string, std::vector<Lane*>> lanes_of;
    for (; at != running.end() && (*at)->request->given.priority == priority; ++at) {
      lanes_of[(*at)->request->given.tenant].push_back(*at);
    }
    for (const auto& [tenant, lanes] : lanes_of) {
      all.try_emplace(tenant, waiting_.waiting(tenant)).first->second += std::ssize(lanes);
    }
    const int64_t part = part_beside(fewest_of(all));
    std::vector<std::pair<size_t, Lane*>> in_turn, rest;  // by round
    for (auto& [tenant, lanes] : lanes_of) {
      std::sort(lanes.begin(), lanes.end(), waited_longer);
      const bool more_than_part = due[tenant] + std::ssize(lanes) > part;
      for (size_t round = 0; round < lanes.size(); ++round) {
        const bool is_due = !more_than_part || (lanes[round]->pending() == 1 && due[tenant] < part);
        due[tenant] += is_due ? 1 : 0;
        (is_due ? in_turn : rest).emplace_back(round, lanes[round]);
      }
    }
    const auto before = [](const auto& x, const auto& y) {
      return x.first != y.first ? x.first < y.first : waited_longer(x.second, y.second);
    };
    std::sort(in_turn.begin(), in_turn.end(), before);
    std::sort(rest.begin(), rest.end(), before);
    for (const auto& [round, lane] : in_turn) (std::ssize(plan.due) < most ? plan.due : plan.rest).push_back(lane);
    for (const auto& [round, lane] : rest) plan.rest.push_back(lane);
  }
  std::sort(plan.due.begin(), plan.due.end(), LaneOrder());
  return plan;
}

bool TenantShare::has_part_for(const Running& running, const GenerationRequest& request) const {
  Counts others;
  int64_t own = 1;
  for (const Lane* lane : running) {
    const GenerationRequest& given = lane->request->given;
    if (given.priority < request.priority) continue;
    if (given.tenant == request.tenant) {
      ++own;
    } else {
      ++others.try_emplace(given.tenant, waiting_.waiting(given.tenant)).first->second;
    }
  }
  return others.empty() || own <= part_beside(fewest_of(others));
}

void TenantShare::save(double ms, double next_ms) {
  const double more = std::max(0.0, most_longer_ - 1) * ms;
  saved_ms_ = std::min(saved_ms_ + more, std::max(more, next_ms));
}

}  // namespace loraxs
