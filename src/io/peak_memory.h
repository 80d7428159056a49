// io/peak_memory.h: the most memory that this process has held.
#pragma once
#include <cstdint>

namespace loraxs {

/// Largest resident set, in bytes, since the process began or forget_peak_memory(); 0 where the system does not say.
int64_t peak_memory_bytes();

/// From now on the peak is that of what follows, on top of what is in use; where the system cannot, nothing happens.
void forget_peak_memory();

}  // namespace loraxs
