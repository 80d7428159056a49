// train/job_bank.h: the rows of a run's jobs before their first step.
#pragma once
#include <memory>
#include <vector>

#include "train/loop.h"

namespace loraxs {

/// One row per job, drawn from the job's seed, or taken from the adapter the run starts from; gradients zero.
std::shared_ptr<Bank> make_job_bank(const TrainSetup& setup, const std::vector<Job>& jobs);

}  // namespace loraxs
