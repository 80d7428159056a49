// api/sweep.h: adapters between two others and beyond, each with its score; and those nearest to one.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "api/adapters.h"
#include "data/task.h"

namespace loraxs {

/// (1 − t) · from + t · to, heads included.
struct SweepPoint {
  double t = 0;
  double value = 0;  // the task's metric on its validation examples
};

/// `points` adapters at equal steps of t from `begin` to `end`, scored as the rows of one bank. Throws Error for fewer
/// than two points, adapters with different heads, and a task that is not theirs.
std::vector<SweepPoint> sweep_between(const BaseModel& model, const std::string& from, const std::string& to,
                                      double begin, double end, int64_t points, const Task& task,
                                      const OpenOptions& options, const std::string& precision,
                                      const Settings& settings);

struct Neighbour {
  std::filesystem::path path;
  double distance = 0;  // ‖ΔW − ΔW'‖ over all sites
  double cosine = 0;    // of ΔW and ΔW'; 0 where one of them is zero
  std::string error;    // why it cannot be compared (another base or kind of basis, a damaged file); else empty
};

/// The adapters of `folder` by their distance to `adapter`, nearest first, behind them those that cannot be compared;
/// `adapter` itself is left out. Throws Error where `adapter` does not open.
std::vector<Neighbour> nearest_adapters(const BaseModel& model, const std::filesystem::path& adapter,
                                        const std::filesystem::path& folder, const OpenOptions& options,
                                        const Settings& settings);

}  // namespace loraxs
