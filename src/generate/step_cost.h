// generate/step_cost.h: what a step takes, learnt from those that were measured.
#pragma once
#include <cstdint>
#include <map>

namespace loraxs {

/// Steps of answers alone are learnt by their number of sequences: one token each. Between two numbers that were
/// measured costs lie on a line; below the least and above the largest half of a cost is taken to be the same for any.
class StepCost {
 public:
  /// A step with so many tokens of prompts beside so many answers took `ms`.
  void measured(int64_t prompt_tokens, int64_t answers, double ms);

  double answers_ms(int64_t answers) const;      // of a step without prompts; 0: none was measured
  double token_ms() const { return token_ms_; }  // of a prompt's, in chunks as large as the last; 0: none was measured
 private:
  struct Point {
    double answers = 0, ms = 0;
  };
  std::map<int64_t, Point> points_;  // by number of answers, large ones rounded
  double token_ms_ = 0;
};

}  // namespace loraxs
