// tests/support/growth.h: work that must grow with its input, not with the square of it.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <ctime>

namespace loraxs::test {

/// Seconds of this thread's own time, so that a busy machine does not count.
inline double thread_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

/// `twice`, the work of `once` at twice the size, may take less than three times as long, `noise` seconds aside. Both
/// in turn, until the best times say so, ten times at most: neighbours on the machine only ever add to a time, and the
/// square of a size stays four times the square of its half however often it is run.
template <typename Once, typename Twice>
void expect_linear_work(const Once& once, const Twice& twice, double noise) {
  const auto seconds = [](const auto& run) {
    const double start = thread_seconds();
    run();
    return thread_seconds() - start;
  };
  constexpr int kRuns = 10, kEnough = 3;
  double single = 1e9, doubled = 1e9;
  for (int run = 0; run < kRuns && (run < kEnough || doubled >= 3 * single + noise); ++run) {
    single = std::min(single, seconds(once));
    doubled = std::min(doubled, seconds(twice));
  }
  EXPECT_LT(doubled, 3 * single + noise) << "once takes " << single << " s, twice " << doubled << " s";
}

/// `prepare(size)` gives what is timed. Choose sizes at which the square would take 0.2 s.
template <typename Prepare>
void expect_linear(size_t size, const Prepare& prepare) {
  SCOPED_TRACE(size);
  expect_linear_work(prepare(size), prepare(2 * size), 0.02);
}

}  // namespace loraxs::test
