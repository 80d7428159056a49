// train/job_row.h: the rows of a run's jobs before their first step.
#pragma once
#include <torch/types.h>

#include <memory>

#include "adapt/adapter_set.h"
#include "train/job.h"
#include "train/train_setup.h"

namespace loraxs {

/// Rows of zeros, with gradients, for so many jobs of the run.
std::shared_ptr<Bank> make_job_bank(const TrainSetup& setup, int64_t rows);

/// A job's row [row] in the bank's type: drawn from the job's seed, or taken from the adapter the run starts from.
torch::Tensor first_row(const TrainSetup& setup, const Job& job);

}  // namespace loraxs
