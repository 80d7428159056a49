#include "train/memory_estimate.h"

#include "adapt/counts.h"
#include "adapt/method.h"

namespace loraxs {

MemoryEstimate estimate_memory(const Architecture& architecture, const ModelConfig& config, const Layout& layout,
                               int64_t jobs, int64_t tokens, int64_t number_bytes) {
  constexpr int64_t kFloat = 4, kBanks = 5;
  const std::vector<Site> sites = list_sites(architecture, config);
  const int64_t projections = count_weights(sites);
  const int64_t embeddings =
      (config.vocab_size + config.max_position_embeddings + config.type_vocab_size) * config.hidden_size;
  const MethodTraits& traits = find_method(layout.method, "memory").traits;
  int64_t basis = 0, ranks = 0, outputs = 0;  // outputs: of every projection, per token
  for (size_t i = 0; i < layout.sites.size(); ++i) {
    if (traits.reads_basis) basis += layout.ranks[i] * (layout.sites[i].in_features + layout.sites[i].out_features);
    ranks += layout.ranks[i];
  }
  for (const Site& site : sites) outputs += site.out_features;
  // Beside the projections' outputs and u of every site a layer keeps the attention's result, two norms' inputs and
  // outputs, and the activation between the MLP's projections.
  const int64_t attended = config.num_attention_heads * config.head_dim;
  const int64_t kept =
      outputs + ranks + config.num_hidden_layers * (attended + 4 * config.hidden_size + config.intermediate_size);
  int64_t packed = 2 * projections;  // for each direction of the frozen ones
  for (const Site& site : layout.sites) {
    if (traits.owns_weight) packed -= 2 * site.in_features * site.out_features;
  }
  return {.weights = (projections + embeddings) * kFloat + (packed + basis) * number_bytes + basis * kFloat,
          .rows = kBanks * jobs * layout.row_size * kFloat,
          .activations = tokens * kept * number_bytes};
}

}  // namespace loraxs
