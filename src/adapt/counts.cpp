#include "adapt/counts.h"

namespace loraxs {

int64_t count_lora_xs(const std::vector<Site>& sites, int64_t rank) {
  return static_cast<int64_t>(sites.size()) * rank * rank;
}

int64_t count_lora(const std::vector<Site>& sites, int64_t rank) {
  int64_t count = 0;
  for (const Site& site : sites) count += rank * (site.in_features + site.out_features);
  return count;
}

int64_t count_vera(const std::vector<Site>& sites, int64_t rank) {
  int64_t count = 0;
  for (const Site& site : sites) count += site.out_features + rank;
  return count;
}

int64_t count_weights(const std::vector<Site>& sites) {
  int64_t count = 0;
  for (const Site& site : sites) count += site.in_features * site.out_features;
  return count;
}

int64_t count_basis(const std::vector<Site>& sites, int64_t rank) { return count_lora(sites, rank); }

}  // namespace loraxs
