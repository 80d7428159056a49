// api/studies/paired.h: differences between two ways to train, seed by seed.
#pragma once
#include <cstdint>
#include <map>
#include <optional>

namespace loraxs {

using ScoresBySeed = std::map<int64_t, double>;

/// A mean with its standard error, which needs two values.
struct Estimate {
  size_t count = 0;
  double mean = 0;
  std::optional<double> error;  // of the mean
  /// Whether it is away from 0 by more than two of its errors, of at least three values: fewer tell nothing.
  bool told() const;
};

Estimate estimate_mean(const ScoresBySeed& scores);
/// Of x − y over the seeds that both have.
Estimate paired_difference(const ScoresBySeed& x, const ScoresBySeed& y);

}  // namespace loraxs
