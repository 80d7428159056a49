#include "cli/cores.h"

#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace loraxs {
namespace {

namespace fs = std::filesystem;

/// One hierarchy of control groups, with the process's place in it.
struct Hierarchy {
  bool second = false;  // of cgroup v2
  fs::path mount;       // where the group `top` is mounted
  std::string top;      // "/" or "/docker/…" where a container sees a part of the hierarchy
};

bool lists(const std::string& commas, const std::string& word) {
  return ("," + commas + ",").find("," + word + ",") != std::string::npos;
}

/// "\040" of mountinfo is a blank.
std::string unescaped(const std::string& text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool octal =
        text[i] == '\\' && i + 3 < text.size() &&
        std::all_of(text.begin() + i + 1, text.begin() + i + 4, [](char c) { return c >= '0' && c <= '7'; });
    plain += octal ? static_cast<char>(std::stoi(text.substr(i + 1, 3), nullptr, 8)) : text[i];
    if (octal) i += 3;
  }
  return plain;
}

/// Those with CPU quotas. A line: 31 24 0:27 /docker/12 /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct
std::vector<Hierarchy> mounted_hierarchies(const fs::path& root) {
  std::vector<Hierarchy> found;
  std::ifstream file(root / "proc/self/mountinfo");
  for (std::string line; std::getline(file, line);) {
    std::istringstream head(line);
    std::string number, parent, device, top, mount, kind, source, options;
    head >> number >> parent >> device >> top >> mount;
    const size_t dash = line.find(" - ");
    if (!head || dash == std::string::npos) continue;
    std::istringstream(line.substr(dash + 3)) >> kind >> source >> options;
    if (kind != "cgroup2" && !(kind == "cgroup" && lists(options, "cpu"))) continue;
    found.push_back({.second = kind == "cgroup2",
                     .mount = root / fs::path(unescaped(mount)).relative_path(),
                     .top = unescaped(top)});
  }
  return found;
}

/// The process's group in a hierarchy: "/docker/12" of "4:cpu,cpuacct:/docker/12" or "0::/docker/12".
std::string group_of_process(const fs::path& root, bool second) {
  std::ifstream file(root / "proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const size_t first = line.find(':'), last = first == std::string::npos ? first : line.find(':', first + 1);
    if (last == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, last - first - 1);
    if (second ? line.starts_with("0::") : lists(controllers, "cpu")) return line.substr(last + 1);
  }
  return "/";
}

std::optional<double> number_in(const fs::path& file) {
  std::ifstream stream(file);
  double value = 0;
  if (!(stream >> value)) return std::nullopt;
  return value;
}

/// Of one group, without those around it.
std::optional<double> own_quota(const fs::path& group, bool second) {
  std::optional<double> quota, period;
  if (second) {
    std::ifstream file(group / "cpu.max");  // "150000 100000", or "max 100000", which is no number
    double microseconds = 0, of = 0;
    if (file >> microseconds >> of) quota = microseconds, period = of;
  } else {
    quota = number_in(group / "cpu.cfs_quota_us");  // -1: none
    period = number_in(group / "cpu.cfs_period_us");
  }
  if (!quota || !period || !(*quota > 0) || !(*period > 0)) return std::nullopt;
  return *quota / *period;
}

int64_t affinity_of_process() {
  for (int cpus = 1024; cpus <= 1 << 20; cpus *= 2) {  // the kernel may know more than the mask holds
    std::vector<cpu_set_t> mask(CPU_ALLOC_SIZE(cpus) / sizeof(cpu_set_t));
    const size_t bytes = mask.size() * sizeof(cpu_set_t);
    if (sched_getaffinity(0, bytes, mask.data()) == 0) return std::max(1, CPU_COUNT_S(bytes, mask.data()));
    if (errno != EINVAL) break;
  }
  return 1;
}

}  // namespace

Cores cores_of_process() { return {.affinity = affinity_of_process(), .quota = cpu_quota("/")}; }

std::optional<double> cpu_quota(const fs::path& root) {
  std::optional<double> least;
  for (const Hierarchy& hierarchy : mounted_hierarchies(root)) {
    // The part of the group's path below what is mounted; elsewhere (another namespace's view) what is mounted is all.
    const fs::path group = fs::path(group_of_process(root, hierarchy.second)).lexically_relative(hierarchy.top);
    const bool below = !group.empty() && *group.begin() != "..";
    fs::path at = hierarchy.mount;
    std::vector<fs::path> groups = {at};
    for (const fs::path& name : below ? group : fs::path()) {
      if (name == ".") continue;
      if (name == "..") break;
      groups.push_back(at /= name);
    }
    for (const fs::path& each : groups) {
      const auto quota = own_quota(each, hierarchy.second);
      if (quota && (!least || *quota < *least)) least = quota;
    }
  }
  return least;
}

}  // namespace loraxs
