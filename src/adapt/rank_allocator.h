// adapt/rank_allocator.h: AdaLoRA's pruning: which triples of all sites keep their d (Zhang et al., arXiv 2303.10512).
#pragma once
#include <torch/types.h>

#include <cstdint>

#include "adapt/layout.h"

namespace loraxs {

/// As PEFT 0.21's AdaLoraConfig: target_r, tinit, tfinal, deltaT, beta1, beta2, orth_reg_weight.
struct RankBudget {
  int64_t target_rank = 8;     // mean rank of a site in the end
  int64_t initial_steps = 0;   // before pruning starts
  int64_t final_steps = 0;     // after it has ended
  int64_t interval = 1;        // between two prunings
  double beta1 = 0.85;         // of the mean importance
  double beta2 = 0.85;         // of the mean uncertainty
  double orthogonality = 0.5;  // weight of the penalty on a and b
};

/// What pruning remembers of one row, [adapter_numbers] each. Once the budget is final, `importance` of every d holds
/// what is kept: 1 or 0.
struct RankMemory {
  torch::Tensor importance, uncertainty;
};

class RankAllocator {
 public:
  RankAllocator(const Layout& layout, const RankBudget& budget, int64_t total_steps);

  /// Adds the gradient of orthogonality · mean over all a and b of ‖a aᵀ − I‖_F, ‖bᵀ b − I‖_F to `gradient`; returns
  /// the penalty. values, gradient [row].
  double add_penalty_(const torch::Tensor& values, const torch::Tensor& gradient) const;

  /// After optimizer step `step` (from 1): `gradient` [row] is what the step was made with. Importance of a number is
  /// the mean of |value · gradient| times its mean deviation; that of a triple is d's own and the means over a's row
  /// and b's column. The least important triples of all sites lose their d.
  void prune_(const torch::Tensor& values, const torch::Tensor& gradient, const RankMemory& memory, int64_t step) const;

  /// Triples that step `step` leaves over all sites.
  int64_t budget(int64_t step) const;

 private:
  Layout layout_;
  RankBudget budget_;
  int64_t total_steps_, initial_ = 0, target_ = 0;
};

}  // namespace loraxs
