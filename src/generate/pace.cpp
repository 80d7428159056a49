#include "generate/pace.h"

#include <algorithm>

namespace loraxs {
namespace {

/// Of a step of answers alone: with it and what a step's estimate is off by, a gap stays within twice such a step.
constexpr double kBesideAnswers = 0.85;

}  // namespace

int64_t Pace::prompt_tokens(const StepCost& cost, int64_t budget, int64_t answers, int64_t prompts) const {
  if (gap_ms_ <= 0) return budget;
  const int64_t smallest = std::min(kSmallestChunk, budget);
  if (cost.token_ms() <= 0) return smallest;
  const double waiting = static_cast<double>(prompts) / static_cast<double>(std::max<int64_t>(1, answers));
  const double share = std::clamp(waiting, 1.0, kMostShare);
  const double answers_ms = cost.answers_ms(answers);
  const double room = share * std::max(gap_ms_ - answers_ms, kBesideAnswers * answers_ms) / cost.token_ms();
  return room >= static_cast<double>(budget) ? budget : std::max(smallest, static_cast<int64_t>(room));
}

}  // namespace loraxs
