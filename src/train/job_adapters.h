// train/job_adapters.h: what a training leaves of its jobs: their adapter files.
#pragma once
#include <filesystem>
#include <vector>

#include "train/loop.h"

namespace loraxs {

/// Writes JOB/best.safetensors and JOB/last.safetensors in the folder `run`: `bank` has the last rows, `state` the best
/// ones. A job that has ended has no last, and a best only if an evaluation had chosen one. `selected`: some examples
/// chose; else the last rows are the best.
TrainResult write_job_adapters(const TrainSetup& setup, const std::filesystem::path& run, const std::vector<Job>& jobs,
                               const Bank& bank, const TrainingState& state, bool selected);

}  // namespace loraxs
