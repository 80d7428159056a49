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

/// `prepare(size)` gives what is timed: the best of three runs at twice the size may take less than three times those
/// at the size. Choose sizes at which the square would take 0.2 s: below 20 ms noise and caches decide.
template <typename Prepare>
void expect_linear(size_t size, const Prepare& prepare) {
  const auto best_of_three = [&](size_t each) {
    const auto work = prepare(each);
    double best = 1e9;
    for (int run = 0; run < 3; ++run) {
      const double start = thread_seconds();
      work();
      best = std::min(best, thread_seconds() - start);
    }
    return best;
  };
  const double once = best_of_three(size), twice = best_of_three(2 * size);
  constexpr double kNoise = 0.02;
  EXPECT_LT(twice, 3 * once + kNoise) << "size " << size << " takes " << once << " s, its double " << twice << " s";
}

}  // namespace loraxs::test
