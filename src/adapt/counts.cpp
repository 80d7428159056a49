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

int64_t count_model(const Architecture& architecture, const ModelConfig& config) {
  int64_t count = 0;
  for (const auto& [canonical, hf] : list_weights(architecture, config, architecture.weight_names)) {
    const HeadShape& head = architecture.head;
    if (!head.dense.empty() && !head.dense_pretrained && canonical.starts_with(head.dense + ".")) continue;
    int64_t numbers = 1;
    for (const int64_t size : weight_shape(architecture, config, canonical)) numbers *= size;
    count += numbers;
  }
  return count;
}

int64_t count_basis(const std::vector<Site>& sites, int64_t rank) { return count_lora(sites, rank); }

}  // namespace loraxs
