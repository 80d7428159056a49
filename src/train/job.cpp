#include "train/job.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <set>

#include "adapt/job_key.h"
#include "io/error.h"
#include "io/seeds.h"

namespace loraxs {

namespace {

/// The shortest digits that are read back as `rate`: at least the six of a stream, so that names stay what they were
/// wherever those were enough.
std::string exact_text(double rate) {
  constexpr int kFewest = 6, kEnough = std::numeric_limits<double>::max_digits10;
  char text[32];
  for (int digits = kFewest; digits <= kEnough; ++digits) {
    std::snprintf(text, sizeof text, "%.*g", digits, rate);
    if (std::strtod(text, nullptr) == rate) break;
  }
  return text;
}

/// A job's files lie in the folder of its name.
void check_names(const std::vector<Job>& jobs) {
  if (jobs.empty()) {
    throw Error(
        "train: expected at least one of seeds, learning_rate and head_learning_rate each, found an empty list");
  }
  std::set<std::string> names;
  for (const Job& job : jobs) {
    if (names.insert(job.name).second) continue;
    throw Error(concat("train: expected every job once, found ", job.name,
                       " twice; a number stands twice in seeds, learning_rate or head_learning_rate"));
  }
}

}  // namespace

std::vector<Job> make_jobs(const TrainRecipe& train, const std::string& task_name) {
  std::vector<Job> jobs;
  const bool grid = train.learning_rate.size() * train.head_learning_rate.size() > 1;
  int64_t setting = 0;
  for (const double rate : train.learning_rate) {
    for (const double head_rate : train.head_learning_rate) {
      const std::string rates = grid ? concat("lr-", exact_text(rate), "-head-", exact_text(head_rate), "-") : "";
      for (const int64_t seed : train.seeds) {
        jobs.push_back({.name = concat(rates, "seed-", seed),
                        .seed = seed,
                        .key = job_key(static_cast<uint64_t>(seed), task_name),
                        .learning_rate = rate,
                        .head_learning_rate = head_rate,
                        .setting = setting});
      }
      ++setting;
    }
  }
  check_names(jobs);
  return jobs;
}

std::vector<int64_t> epoch_order(const Job& job, int64_t epoch, int64_t num_examples) {
  return permutation(num_examples, derive_seed(job.key, concat("order of epoch ", epoch)));
}

int64_t num_held_out(const TrainRecipe& train, int64_t num_examples) {
  if (train.selection != "split") return 0;
  const auto held_out =
      static_cast<int64_t>(std::llround(train.selection_fraction * static_cast<double>(num_examples)));
  if (held_out < 1 || held_out >= num_examples) {
    throw Error(concat("train.selection_fraction: expected some of ", num_examples,
                       " training examples held out and some left, found ", train.selection_fraction));
  }
  return held_out;
}

StepPlan plan_steps(const TrainRecipe& train, int64_t num_examples) {
  StepPlan plan;
  plan.steps_per_epoch = (num_examples + train.batch_size - 1) / train.batch_size;
  plan.total_steps = train.max_steps > 0 ? train.max_steps : plan.steps_per_epoch * train.epochs;
  plan.epochs = (plan.total_steps + plan.steps_per_epoch - 1) / plan.steps_per_epoch;
  plan.warmup_steps = train.warmup_steps > 0
                          ? std::min(train.warmup_steps, plan.total_steps)
                          : static_cast<int64_t>(train.warmup_ratio * static_cast<double>(plan.total_steps));
  return plan;
}

}  // namespace loraxs
