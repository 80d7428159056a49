#include "model/projection_hook.h"

#include <algorithm>

namespace loraxs {

ProjectionGroup make_projection_group(const std::vector<Site>& sites, int64_t layer,
                                      const std::vector<std::string>& modules) {
  ProjectionGroup group;
  for (const std::string& module : modules) {
    const auto site =
        std::find_if(sites.begin(), sites.end(), [&](const Site& s) { return s.layer == layer && s.module == module; });
    TORCH_CHECK(site != sites.end(), "make_projection_group: no projection ", module, " in layer ", layer);
    group.columns.push_back(group.out_features);
    group.out_features += site->out_features;
    group.sites.push_back(*site);
  }
  return group;
}

}  // namespace loraxs
