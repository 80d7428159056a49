#include "generate/step_cost.h"

#include <algorithm>
#include <bit>
#include <iterator>

namespace loraxs {
namespace {

/// Weight of the newest step: a change of the batch is followed within a few steps, one slow step is not.
constexpr double kNewest = 0.25;

void learn(double& estimate, double measured) {
  estimate = estimate == 0 ? measured : estimate + kNewest * (measured - estimate);
}

/// Numbers of answers that are learnt together: each of 1 … 8, then four to a power of two.
int64_t group_of(int64_t answers) {
  constexpr int kBits = 3;
  const int dropped = std::max(0, static_cast<int>(std::bit_width(static_cast<uint64_t>(answers))) - kBits);
  return answers >> dropped << dropped;
}

}  // namespace

double StepCost::answers_ms(int64_t answers) const {
  if (points_.empty() || answers == 0) return 0;
  const auto count = static_cast<double>(answers);
  // A group's own mean number moves: neighbours may lie on either side of `count`.
  auto above = points_.lower_bound(group_of(answers));
  if (above != points_.end() && above->second.answers < count) ++above;
  const auto beyond = [&](const Point& last) { return last.ms * (0.5 + 0.5 * count / last.answers); };
  if (above == points_.begin()) return beyond(above->second);
  const Point& low = std::prev(above)->second;
  if (above == points_.end()) return beyond(low);
  const Point& high = above->second;
  return low.ms + (high.ms - low.ms) * (count - low.answers) / (high.answers - low.answers);
}

void StepCost::measured(int64_t prompt_tokens, int64_t answers, double ms) {
  if (prompt_tokens == 0) {
    if (answers == 0) return;
    Point& point = points_[group_of(answers)];
    learn(point.answers, static_cast<double>(answers));
    learn(point.ms, ms);
    return;
  }
  // A chunk of few tokens costs little less than a larger one, so its tokens seem dear; where there is room, the chunks
  // grow all the same, and the tokens get cheaper.
  const double prompts_ms = std::max(ms - answers_ms(answers), 0.05 * ms);
  learn(token_ms_, prompts_ms / static_cast<double>(prompt_tokens));
}

}  // namespace loraxs
