// train/fleet_state.h: what a fleet's checkpoint keeps: how far it is, the active jobs, and rows not yet handed over.
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "train/checkpoint_folder.h"
#include "train/fleet_store.h"
#include "train/job_state.h"

namespace loraxs {

/// How a job came on, evaluation by evaluation: at most kMost points, every second one left out when there are more.
struct FleetCurve {
  static constexpr size_t kMost = 32;
  nlohmann::json points = nlohmann::json::array();  // [step, loss, score or null]
  int64_t every = 1, seen = 0;

  void add(int64_t step, double loss, std::optional<double> value);
};

/// Counters of a fleet.
struct FleetProgress {
  int64_t taken = 0;  // jobs of the list that have joined, were kept or failed before
  int64_t done = 0, kept = 0, failed = 0;
  int64_t rounds = 0, steps = 0, sentences = 0, tokens = 0;
  double seconds = 0;
  int64_t saves = 0;
  uint64_t metrics_bytes = 0, lines_bytes = 0;  // of metrics.jsonl and jobs.jsonl
};

/// An active job: all that its rest depends on beside its line and its examples.
struct FleetJobState {
  int64_t index = 0;
  std::string digest;  // of its examples
  JobState state;
  FleetCurve curve;
  torch::Tensor values, first_moments, second_moments, best;  // [row]
  torch::Tensor importance, uncertainty;                      // of methods that prune
};

struct FleetState {
  std::string jobs;  // digest of the list
  FleetProgress progress;
  std::vector<FleetJobState> active;
  std::vector<FinishedRow> finished;
};

void write_fleet_state(const std::filesystem::path& run, const FleetState& state, const RunIdentity& identity);

/// The newest one; nothing if there is none. `layout_of` gives the layout of a row with such a head. Throws as
/// read_newest_checkpoint_folder.
std::optional<FleetState> read_fleet_state(
    const std::filesystem::path& run, const RunIdentity& identity, bool allow_drift,
    const std::function<std::shared_ptr<const Layout>(const HeadLayout&)>& layout_of);

}  // namespace loraxs
