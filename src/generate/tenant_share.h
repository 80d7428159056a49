// generate/tenant_share.h: which of the running sequences a step computes where several tenants have some.
#pragma once
#include <cstdint>
#include <set>
#include <vector>

#include "generate/lane.h"

namespace loraxs {

/// Processor sharing: a step computes as many sequences of each tenant as the one that asks for the fewest, running and
/// waiting, and of what the others have beyond that only what makes it longer by a small part, going round. So a
/// tenant's answers take hardly longer for how much another one asks, and tenants that ask alike share one batch as if
/// they were one. The small part is saved up over steps, since one more sequence, or the smallest chunk of a prompt,
/// may be more than a step allows; so nobody starves. Those of a lower priority never hold up those of a higher one.
class TenantShare {
 public:
  /// Steps may take `most_longer` times what they would, 1 at least; 0: all that runs is computed in every step.
  TenantShare(double most_longer, const TenantQueues& waiting) : most_longer_(most_longer), waiting_(waiting) {}

  using Running = std::set<Lane*, LaneOrder>;
  /// Whether there is something to share: two tenants at least.
  bool shares(const Running& running) const;

  struct Plan {
    std::vector<Lane*> due;   // in the order of `running`
    std::vector<Lane*> rest;  // who waited longest first
  };
  /// At most `most` are due. Prompts of a tenant that has more than its part are not: they cost many answers.
  Plan plan(const Running& running, int64_t most) const;
  /// Whether one more of this tenant and priority would still be due.
  bool has_part_for(const Running& running, const GenerationRequest& request) const;

  /// A step takes `ms` with what is due. Kept is what the next of the rest costs, at most.
  void save(double ms, double next_ms);
  void spend(double ms) { saved_ms_ -= ms; }
  double saved_ms() const { return saved_ms_; }
  /// The step of the last save() was not computed after all: `ms` are there as before it.
  void restore(double ms) { saved_ms_ = ms; }

 private:
  int64_t part_beside(int64_t fewest) const;

  double most_longer_;
  const TenantQueues& waiting_;
  double saved_ms_ = 0;
};

}  // namespace loraxs
