// tests/support/trajectory.h: training runs beside an oracle's float64 (tests/oracles/trajectory.py).
#pragma once
#include <gtest/gtest.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "support/close.h"

namespace loraxs::test {

/// How far a run is from the oracle's float64, step by step: of the loss relative to it, or absolute where it is below
/// 1, of the row relative to its norm.
class Trajectory {
 public:
  void add(double loss, double exact_loss, const torch::Tensor& row, const torch::Tensor& exact_row) {
    losses_.push_back(std::abs(loss - exact_loss) / std::max(1.0, std::abs(exact_loss)));
    rows_.push_back(relative_error(row, exact_row));
  }
  double worst_loss() const { return *std::max_element(losses_.begin(), losses_.end()); }
  double worst_row() const { return *std::max_element(rows_.begin(), rows_.end()); }

  /// Whether a float32 run stays as near to float64 as the oracle's own float32 runs did: at every step that those
  /// took, within kMultiple times the farthest that any of them was until then. Steps multiply rounding, by how much
  /// depends on the model, and which way it goes on the CPU; so no fixed number holds. Spreads [steps] float64.
  testing::AssertionResult is_as_near_as(const torch::Tensor& loss_spread, const torch::Tensor& row_spread) const {
    // Six runs tell something of how far a seventh may be: a multiple (no method needed 3 on any of three paths of
    // CPUs), under which a rate off by 1 % is still found, by hundreds. Where the oracle was near by luck: what one
    // forward may be off (as logits elsewhere), and a step's few roundings.
    constexpr double kMultiple = 4, kForward = 1e-5, kStep = 1e-6;
    double loss_bound = kForward, row_bound = kStep;
    for (int64_t step = 0; step < loss_spread.size(0); ++step) {
      loss_bound = std::max(loss_bound, kMultiple * loss_spread[step].item<double>());
      row_bound = std::max(row_bound, kMultiple * row_spread[step].item<double>());
      if (losses_[step] <= loss_bound && rows_[step] <= row_bound) continue;
      return testing::AssertionFailure() << "step " << step << ": loss " << losses_[step] << " from float64, bound "
                                         << loss_bound << "; row " << rows_[step] << ", bound " << row_bound;
    }
    return testing::AssertionSuccess() << "within " << loss_bound << " and " << row_bound;
  }

 private:
  std::vector<double> losses_, rows_;
};

}  // namespace loraxs::test
