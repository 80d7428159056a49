// adapt/method.h: an adaptation method: what of it stands in a row, and what else it needs of its sites.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "adapt/basis.h"
#include "adapt/layout.h"
#include "model/base_model.h"

namespace loraxs {

/// Beyond a row, what a method needs. All false for a method whose every tensor stands in the row.
struct MethodTraits {
  bool reads_basis = false;     // a or b is the frozen one of a Basis
  bool residual = false;        // the base loses b a of the basis first (PiSSA)
  bool owns_weight = false;     // the row holds the weights themselves; there is no rank
  bool any_rank = false;        // ranks above a site's smaller width make sense
  bool prunes = false;          // a RankAllocator works after each step (AdaLoRA)
  bool combines = false;        // adapters on one basis are a vector space
  bool concatenates = false;    // a and b stand in the row and nothing between them: a sum is longer a and b
  const char* basis = nullptr;  // the one variant of basis it reads; null: the recipe's choice
};

/// What a fresh row is made from.
struct MethodStart {
  uint64_t job_seed = 0;
  double alpha = 16;
  double init_std = 1e-5;
  std::string init = "default";      // LoRA: default | gaussian | svd
  double d_initial = 0.1;            // VeRA
  const Basis* basis = nullptr;      // of methods that read one, and of starts from the SVD
  const BaseModel* model = nullptr;  // of methods that own weights
};

struct Method {
  std::string name;
  std::string meaning;  // one line for people
  MethodTraits traits;
  std::vector<std::string> keys;  // of a recipe's `method` section, beyond those of every method
  /// Segments of one site (names without the site's prefix, offsets ignored).
  std::vector<LayoutSegment> (*segments)(const Site& site, int64_t rank, const MethodOptions& options);
  /// Segments that sites share, named "shared.…", in front of the sites'; null: none. Sites of one module share
  /// "shared.MODULE.PART", all sites "shared.PART".
  std::vector<LayoutSegment> (*shared)(const std::vector<Site>& sites, int64_t rank, const MethodOptions& options);
  /// Fills a fresh row's site segments, which are zero.
  void (*initialize)(const Layout& layout, std::span<float> row, const MethodStart& start);
  /// The factor of ΔW is alpha over this; null: it is 1.
  double (*divisor)(int64_t rank, const MethodOptions& options) = nullptr;

  double scale(double alpha, int64_t rank, const MethodOptions& options) const {
    return divisor == nullptr ? 1 : alpha / divisor(rank, options);
  }
};

/// Throws Error naming the known methods.
const Method& find_method(const std::string& name, const std::string& where);
std::vector<std::string> method_names();

/// rank, or √rank with rsLoRA.
double rank_divisor(int64_t rank, const MethodOptions& options);
/// alpha over that.
double rank_scale(double alpha, int64_t rank, const MethodOptions& options);
/// The numbers of a segment inside a row; name as in the layout.
std::span<float> segment_span(const Layout& layout, std::span<float> row, const std::string& name);

}  // namespace loraxs
