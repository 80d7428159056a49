#include "adapt/layout_binding.h"

#include "adapt/site_binding.h"

namespace loraxs {

std::shared_ptr<const LayoutBinding> bind_layout(std::shared_ptr<const Layout> layout,
                                                 const std::vector<std::vector<Site>>& groups, const Basis* basis) {
  SiteTable table;
  std::vector<bool> adapts;
  for (const std::vector<Site>& sites : groups) {
    std::vector<SiteParts>& parts = table.emplace_back();
    bool any = false;
    for (const Site& site : sites) any = parts.emplace_back(site_parts(*layout, site, basis)).defined() || any;
    adapts.push_back(any);
  }
  const auto head = [&](const char* name) -> RowPart {
    const LayoutSegment* segment = layout->find(name);
    if (segment == nullptr) return {};
    return {.offset = segment->offset, .shape = segment->shape};
  };
  auto binding = std::make_shared<LayoutBinding>(LayoutBinding{.table = std::make_shared<SiteTable>(std::move(table)),
                                                               .adapts_group = std::move(adapts),
                                                               .dense_weight = head("head.dense.weight"),
                                                               .dense_bias = head("head.dense.bias"),
                                                               .classifier_weight = head("head.classifier.weight"),
                                                               .classifier_bias = head("head.classifier.bias")});
  binding->layout = std::move(layout);
  return binding;
}

}  // namespace loraxs
