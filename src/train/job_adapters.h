// train/job_adapters.h: what a training leaves of its jobs: their adapter files.
#pragma once
#include <filesystem>
#include <vector>

#include "train/checkpoint.h"
#include "train/job_run.h"
#include "train/train_result.h"
#include "train/train_setup.h"

namespace loraxs {

/// Writes JOB/best.safetensors and JOB/last.safetensors in the folder `run`: `bank` has the last rows, `state` the best
/// ones and the run's counters. A job that has ended has no last, and a best only if an evaluation had chosen one.
/// `selected`: some examples chose; else the last rows are the best.
TrainResult write_job_adapters(const TrainSetup& setup, const std::filesystem::path& run,
                               const std::vector<JobRun>& jobs, const Bank& bank, const TrainingState& state,
                               bool selected);

}  // namespace loraxs
