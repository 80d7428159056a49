// cli/cores.h: how many cores this process may keep busy.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <optional>

namespace loraxs {

struct Cores {
  int64_t affinity = 1;  // that the scheduler may put it on (taskset, cpusets)
  std::optional<double>
      quota;  // that its control groups pay for (docker --cpus, Kubernetes' cpu limit); none: no limit

  /// Threads that all find a core: a share of a core counts as one.
  int64_t allowed() const {
    if (!quota || *quota >= static_cast<double>(affinity)) return affinity;
    return std::max<int64_t>(1, static_cast<int64_t>(std::ceil(*quota)));
  }
};

Cores cores_of_process();

/// The CPU quota in cores: the least of the process's control group and those around it, of both versions. Read from
/// proc/self/cgroup, proc/self/mountinfo and the mounted groups below `root`; what is missing or not understood limits
/// nothing.
std::optional<double> cpu_quota(const std::filesystem::path& root);

}  // namespace loraxs
