#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace loraxs {

double schedule_factor(const std::string& schedule, int64_t step, int64_t warmup, int64_t total) {
  if (step < warmup) return static_cast<double>(step) / static_cast<double>(std::max<int64_t>(1, warmup));
  if (schedule == "constant") return 1;
  const auto rest = static_cast<double>(std::max<int64_t>(1, total - warmup));
  if (schedule == "linear") return std::max(0.0, static_cast<double>(total - step) / rest);
  return std::max(0.0, 0.5 * (1 + std::cos(std::numbers::pi * static_cast<double>(step - warmup) / rest)));
}

}  // namespace loraxs
