#include "generate/pace.h"

#include <algorithm>

namespace loraxs {
namespace {

/// Weight of the newest step: a change of the batch is followed within a few steps, one slow step is not.
constexpr double kNewest = 0.25;

/// Of a step of answers alone: with it and what a step's estimate is off by, a gap stays within twice such a step.
constexpr double kBesideAnswers = 0.85;

void learn(double& estimate, double measured) {
  estimate = estimate == 0 ? measured : estimate + kNewest * (measured - estimate);
}

}  // namespace

int64_t Pace::prompt_tokens(int64_t budget, int64_t answers, int64_t prompts) const {
  if (gap_ms_ <= 0) return budget;
  const int64_t smallest = std::min(kSmallestChunk, budget);
  if (token_ms_ <= 0) return smallest;
  const double waiting = static_cast<double>(prompts) / static_cast<double>(std::max<int64_t>(1, answers));
  const double share = std::clamp(waiting, 1.0, kMostShare);
  const double room = share * std::max(gap_ms_ - answers_ms_, kBesideAnswers * answers_ms_) / token_ms_;
  return room >= static_cast<double>(budget) ? budget : std::max(smallest, static_cast<int64_t>(room));
}

void Pace::measured(int64_t prompt_tokens, bool has_answers, double ms) {
  if (prompt_tokens == 0) {
    if (has_answers) learn(answers_ms_, ms);
    return;
  }
  // A chunk of few tokens costs little less than a larger one, so its tokens seem dear; where there is room, the chunks
  // grow all the same, and the tokens get cheaper.
  const double prompts_ms = std::max(ms - (has_answers ? answers_ms_ : 0), 0.05 * ms);
  learn(token_ms_, prompts_ms / static_cast<double>(prompt_tokens));
}

}  // namespace loraxs
