// tests/support/segments.h: adapters of consecutive rows, without layouts and banks.
#pragma once
#include <memory>
#include <vector>

#include "ops/adapted_linear.h"

namespace loraxs::test {

/// On a projection that stands alone, with `sites` as its parts.
inline SegmentAdapters segment(int64_t begin, int64_t end, AdapterRow row, std::vector<SiteParts> sites) {
  return {.begin = begin,
          .end = end,
          .row = std::move(row),
          .table = std::make_shared<SiteTable>(SiteTable{std::move(sites)})};
}

inline std::shared_ptr<const std::vector<SegmentAdapters>> segments(std::vector<SegmentAdapters> list) {
  return std::make_shared<std::vector<SegmentAdapters>>(std::move(list));
}

}  // namespace loraxs::test
