// tests/support/fixed_time.h: the moment at which oracles render templates (tests/oracles/fixed_time.py).
#pragma once
#include <ctime>

namespace loraxs::test {

inline std::tm fixed_time() {
  return {
      .tm_sec = 6, .tm_min = 5, .tm_hour = 14, .tm_mday = 9, .tm_mon = 2, .tm_year = 125, .tm_wday = 0, .tm_yday = 67};
}

}  // namespace loraxs::test
