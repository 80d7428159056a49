// adapt/method.h: an adaptation method: what of it stands in a row, and what else it needs of its sites.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "adapt/layout.h"

namespace loraxs {

/// Beyond a row, what a method needs. All false for LoRA-XS.
struct MethodTraits {
  bool saves_input = false;     // backward needs x, not only x aᵀ
  bool owns_weight = false;     // trains or replaces the base weight
  bool shared_tensors = false;  // tensors that several sites share
  bool after_step = false;      // work after an optimizer step (masks)
  bool needs_basis = false;     // A and B from a Basis
  bool combines = false;        // adapters on one basis are a vector space
};

struct Method {
  std::string name;
  MethodTraits traits;
  /// Segments of one site (names without the site's prefix, offsets ignored).
  std::vector<LayoutSegment> (*segments)(const Site& site, int64_t rank);
  /// Fills a fresh row's site segments from the job's seed.
  void (*initialize)(const Layout& layout, std::span<float> row, uint64_t job_seed, double init_std);
  /// Trained numbers of one site, for counts.
  int64_t (*count)(const Site& site, int64_t rank);
};

/// Throws Error naming the known methods.
const Method& find_method(const std::string& name, const std::string& where);
std::vector<std::string> method_names();

}  // namespace loraxs
