// adapt/reservation.h: which adapters a base is prepared for.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "adapt/adapter_set.h"

namespace loraxs {

/// What adapters may bring. A base prepared for it serves every adapter within it, without being packed again.
struct Reservation {
  /// Site -> the largest rank at which an adapter may read the basis' pair; 0: adapters bring a and b themselves.
  std::map<std::string, int64_t> ranks;
  std::map<std::string, int64_t> residual;  // site -> rank of the b a that the base loses first (PiSSA)
  std::set<std::string> owned;              // sites whose weights every row brings itself, in training
  bool head = false;                        // some have a task head
  double dropout = 0;                       // in training, of what adapters read

  /// What these banks need. TORCH_CHECKs that a residual base serves one bank, and that all banks drop alike.
  static Reservation of(const std::vector<std::shared_ptr<Bank>>& banks);
  /// Throws Error naming the site when adapters of `layout` need more than this; says what to raise.
  void check(const Layout& layout) const;
  /// Whether a base prepared for this serves what `other` asks for.
  bool covers(const Reservation& other) const;
};

}  // namespace loraxs
