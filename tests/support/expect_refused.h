// tests/support/expect_refused.h: hostile input ends in one short sentence, in little time and memory.
#pragma once
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

#include "io/error.h"

namespace loraxs::test {

#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool kSanitized = true;  // its shadow takes terabytes of addresses, its checks ten times the time
#else
inline constexpr bool kSanitized = false;
#endif

/// In a process of its own: 500 MB more than it has and 2 s. Exits with 2 and prints the sentence if `work` throws
/// Error, with 0 if it throws nothing, with 1 for anything else.
template <typename Work>
[[noreturn]] void run_limited(const Work& work) {
  size_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  const rlim_t bytes = pages * static_cast<rlim_t>(sysconf(_SC_PAGESIZE)) + (rlim_t{500} << 20);
  const rlimit memory = {bytes, bytes}, seconds = {kSanitized ? 20 : 2, kSanitized ? 21 : 3};
  if (!kSanitized) setrlimit(RLIMIT_AS, &memory);
  setrlimit(RLIMIT_CPU, &seconds);
  try {
    work();
  } catch (const Error& error) {
    std::fputs(error.what(), stderr);
    _exit(std::string_view(error.what()).size() <= 500 ? 2 : 3);
  } catch (const std::exception& error) {
    std::fputs(error.what(), stderr);
    _exit(1);
  }
  _exit(0);
}

}  // namespace loraxs::test

/// The statement throws loraxs::Error with `part` in its text, of at most 500 bytes, within 2 s and 500 MB.
#define EXPECT_REFUSED(statement, part) \
  EXPECT_EXIT(test::run_limited([&] { statement; }), testing::ExitedWithCode(2), testing::HasSubstr(part))
/// The statement ends within 2 s and 500 MB.
#define EXPECT_BOUNDED(statement) \
  EXPECT_EXIT(test::run_limited([&] { statement; }), testing::ExitedWithCode(0), testing::_)
