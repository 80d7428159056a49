// generate/pace.h: how many tokens of prompts a step may take beside running answers.
#pragma once
#include <cstdint>

#include "generate/step_cost.h"

namespace loraxs {

/// Bounds the prompts' share so that a step stays within a gap, by what steps cost. What a prompt gives does not depend
/// on it: its bits are the same in any chunks.
class Pace {
 public:
  static constexpr int64_t kSmallestChunk = 16;  // tokens: prompts go on, whatever the gap
  static constexpr double kMostShare = 4;

  /// `gap_ms` is the time that running answers should wait for their next token at most, or twice a step without
  /// prompts where that is longer: with many answers, prompts go on as well; and up to kMostShare times that where as
  /// many times more prompts wait than answers run, since who waits for a first word waits too; 0: no bound.
  explicit Pace(double gap_ms) : gap_ms_(gap_ms) {}

  /// Tokens of prompts for a step with so many answers, beside so many prompts that could go on or begin; at most
  /// `budget`.
  int64_t prompt_tokens(const StepCost& cost, int64_t budget, int64_t answers, int64_t prompts) const;

 private:
  double gap_ms_;
};

}  // namespace loraxs
