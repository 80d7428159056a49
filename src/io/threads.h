// io/threads.h: how many threads a user may ask for.
#pragma once
#include <cstdint>

namespace loraxs {

/// More than the largest machines have cores. libgomp ends the process where a thread cannot be made.
inline constexpr int64_t kMostThreads = 1024;

}  // namespace loraxs
