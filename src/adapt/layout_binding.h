// adapt/layout_binding.h: where the rows of one layout hold what a prepared model's projections and head read: found
// once per layout, whatever the number of its adapters.
#pragma once
#include <memory>
#include <vector>

#include "adapt/basis.h"
#include "adapt/layout.h"
#include "model/projection_hook.h"
#include "ops/site_adapter.h"

namespace loraxs {

struct LayoutBinding {
  std::shared_ptr<const Layout> layout;
  std::shared_ptr<const SiteTable> table;  // one entry per site that the group was prepared for
  std::vector<bool> adapts_group;          // whether rows hold anything of the group's sites
  RowPart dense_weight, dense_bias, classifier_weight, classifier_bias;
};

/// `groups`: the sites prepared for adapters, group by group. `basis` may be null for methods that read none.
std::shared_ptr<const LayoutBinding> bind_layout(std::shared_ptr<const Layout> layout,
                                                 const std::vector<std::vector<Site>>& groups, const Basis* basis);

}  // namespace loraxs
