// Names of jobs: distinct and exact, since a job's files lie in the folder of its name.
#include "train/job.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <random>
#include <set>

#include "support/expect_error.h"

namespace loraxs {
namespace {

std::vector<std::string> names_of(const TrainRecipe& train) {
  std::vector<std::string> names;
  for (const Job& job : make_jobs(train, "test")) names.push_back(job.name);
  return names;
}

TEST(JobTest, NamesHoldTheirRatesExactly) {
  TrainRecipe train;
  train.seeds = {7};
  train.learning_rate = {1e-3, 0.0010000001, 1e-4, 1e-5, 2, 0.1 + 0.2};
  train.head_learning_rate = {0.005};
  EXPECT_EQ(names_of(train),
            (std::vector<std::string>{"lr-0.001-head-0.005-seed-7",  // as earlier versions named it
                                      "lr-0.0010000001-head-0.005-seed-7", "lr-0.0001-head-0.005-seed-7",
                                      "lr-1e-05-head-0.005-seed-7", "lr-2-head-0.005-seed-7",
                                      "lr-0.30000000000000004-head-0.005-seed-7"}));
}

TEST(JobTest, NeighbouringRatesHaveFoldersOfTheirOwn) {
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> exponent(-12, 1);
  TrainRecipe train;
  train.seeds = {0, 1};
  train.head_learning_rate = {0};
  train.learning_rate.clear();
  for (int i = 0; i < 500; ++i) {
    const double rate = std::pow(10.0, exponent(random));
    train.learning_rate.insert(train.learning_rate.end(), {rate, std::nextafter(rate, 1e9)});
  }
  const std::vector<Job> jobs = make_jobs(train, "test");
  std::set<std::string> names;
  for (const Job& job : jobs) {
    names.insert(job.name);
    EXPECT_EQ(std::strtod(job.name.c_str() + 3, nullptr), job.learning_rate) << job.name;
  }
  EXPECT_EQ(names.size(), jobs.size());
}

TEST(JobTest, ANumberThatStandsTwiceIsRefused) {
  TrainRecipe train;
  train.seeds = {3, 4, 3};
  EXPECT_ERROR(make_jobs(train, "test"), "expected every job once, found seed-3 twice");
  train.seeds = {3};
  train.learning_rate = {0.1, 0.1};
  EXPECT_ERROR(make_jobs(train, "test"), "lr-0.1-head-");
  train.learning_rate = {};
  EXPECT_ERROR(make_jobs(train, "test"), "found an empty list");
  train.learning_rate = {0.1};
  train.seeds = {};
  EXPECT_ERROR(make_jobs(train, "test"), "found an empty list");
}

}  // namespace
}  // namespace loraxs
