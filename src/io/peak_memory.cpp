#include "io/peak_memory.h"

#include <fstream>
#include <string>
#include <string_view>

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace loraxs {

int64_t peak_memory_bytes() {
  // Not getrusage: its figure survives exec, so a large parent would count as ours.
  std::ifstream status("/proc/self/status");
  constexpr std::string_view kPeak = "VmHWM:";
  constexpr int64_t kKilobyte = 1024;
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(kPeak)) return std::stoll(line.substr(kPeak.size())) * kKilobyte;
  }
  return 0;
}

void forget_peak_memory() {
#ifdef __GLIBC__
  malloc_trim(0);  // what the heap holds free is resident still
#endif
  constexpr int kResetPeak = 5;  // proc(5): resets the peak resident set size to the current value
  std::ofstream("/proc/self/clear_refs") << kResetPeak;
}

}  // namespace loraxs
