#include "api/studies/paired.h"

#include <cmath>
#include <vector>

#include "train/summary.h"

namespace loraxs {
namespace {

Estimate estimate_of(const std::vector<double>& values) {
  Estimate estimate{.count = values.size()};
  for (const double value : values) estimate.mean += value / static_cast<double>(values.size());
  if (const std::optional<double> deviation = standard_deviation(values)) {
    estimate.error = *deviation / std::sqrt(static_cast<double>(values.size()));
  }
  return estimate;
}

}  // namespace

bool Estimate::told() const {
  constexpr size_t kFewest = 3;
  constexpr double kErrors = 2;
  return count >= kFewest && error && std::abs(mean) > kErrors * *error;
}

Estimate estimate_mean(const ScoresBySeed& scores) {
  std::vector<double> values;
  values.reserve(scores.size());
  for (const auto& [seed, score] : scores) values.push_back(score);
  return estimate_of(values);
}

Estimate paired_difference(const ScoresBySeed& x, const ScoresBySeed& y) {
  std::vector<double> differences;
  differences.reserve(x.size());
  for (const auto& [seed, score] : x) {
    const auto other = y.find(seed);
    if (other != y.end()) differences.push_back(score - other->second);
  }
  return estimate_of(differences);
}

}  // namespace loraxs
