// train/job.h: one adapter being trained; the jobs of a run are the rows of one bank.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "train/recipe.h"

namespace loraxs {

struct Job {
  std::string name;  // "seed-0", in a grid "lr-0.001-head-0.005-seed-0", rates exactly; folder of its files
  int64_t seed = 0;  // of the recipe's list
  uint64_t key = 0;  // adapt/job_key.h: everything random of the job; never depends on its row
  double learning_rate = 0;
  double head_learning_rate = 0;
  int64_t setting = 0;  // index into the grid of learning rates
};

/// Settings × seeds, seeds innermost; names are distinct. Throws Error when a list is empty or holds a number twice.
std::vector<Job> make_jobs(const TrainRecipe& train, const std::string& task_name);

/// The job's examples in order for an epoch (from 0): its own permutation.
std::vector<int64_t> epoch_order(const Job& job, int64_t epoch, int64_t num_examples);

/// Examples that `selection: split` holds out of `num_examples`; 0 for best_epoch. Throws Error if none would be left.
int64_t num_held_out(const TrainRecipe& train, int64_t num_examples);

/// Step counts of a run that trains on `num_examples`.
struct StepPlan {
  int64_t steps_per_epoch = 0;
  int64_t total_steps = 0;
  int64_t epochs = 0;
  int64_t warmup_steps = 0;
};
StepPlan plan_steps(const TrainRecipe& train, int64_t num_examples);

}  // namespace loraxs
