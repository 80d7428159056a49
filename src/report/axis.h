// report/axis.h: the axis of a chart: its range, linear or logarithmic, and ticks that people can read.
#pragma once
#include <string>
#include <vector>

namespace loraxs {

struct Tick {
  double value = 0;
  std::string text;  // "20,000", "0.05", on a logarithmic axis "20K"; beyond 1e9 and below 1e-5 in powers of ten
};

/// From a value to a place in 0..1, and back for ticks.
class Axis {
 public:
  /// Covers `low`..`high` with a share `room` of it free on both sides; equal ends get a range around them. Of a
  /// logarithmic axis both are positive, and it covers a power of ten at least.
  Axis(double low, double high, double room, bool logarithmic);

  /// 0 at the axis' begin, 1 at its end.
  double place(double value) const;
  /// About `count` ticks: multiples of 1, 2 or 5 times a power of ten, at least `least` apart; of a logarithmic axis
  /// powers of ten, with their multiples by 2 and 5 where there are few.
  std::vector<Tick> ticks(int count, double least) const;

 private:
  double scaled(double value) const;
  bool logarithmic_;
  double low_, high_;  // of scaled values
};

}  // namespace loraxs
