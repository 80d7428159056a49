// adapt/counts.h: trained numbers of LoRA-XS and of the methods it is compared with (paper.md §1.7).
#pragma once
#include <cstdint>
#include <vector>

#include "model/architecture.h"

namespace loraxs {

int64_t count_lora_xs(const std::vector<Site>& sites, int64_t rank);  // Σ rank²
int64_t count_lora(const std::vector<Site>& sites, int64_t rank);     // Σ rank (in + out)
int64_t count_vera(const std::vector<Site>& sites, int64_t rank);     // Σ (out + rank), shared A and B frozen
int64_t count_weights(const std::vector<Site>& sites);  // Σ in · out: full fine-tuning of these projections
/// All numbers of the base, from its config: embeddings, projections, norms, a pretrained pooler, an output projection
/// that is not tied to the embeddings. What full fine-tuning trains, task heads aside.
int64_t count_model(const Architecture& architecture, const ModelConfig& config);
int64_t count_basis(const std::vector<Site>& sites, int64_t rank);  // Σ rank (in + out), frozen, per base model

}  // namespace loraxs
