// Checkpoints: every number comes back, whole ones outlive damaged ones, and others' files are left alone.
#include "train/checkpoint.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "io/fields.h"
#include "io/mapped_file.h"
#include "io/sha256.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace loraxs {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN(), kInfinity = std::numeric_limits<double>::infinity();
constexpr int64_t kSavedJobs = 2, kRow = 5;
const RunIdentity kIdentity{.content = "this run", .numerics = "here"};

TrainingState fresh_state() {
  TrainingState state;
  for (torch::Tensor* tensor : {&state.values, &state.first_moments, &state.second_moments, &state.best_values})
    *tensor = torch::zeros({kSavedJobs, kRow});
  state.jobs.resize(kSavedJobs);
  return state;
}

TrainingState state_at(int64_t step) {
  TrainingState state = fresh_state();
  state.step = step;
  state.values = torch::full({kSavedJobs, kRow}, static_cast<double>(step));
  return state;
}

std::optional<TrainingState> read(const std::filesystem::path& run) {
  return read_newest_checkpoint(run, kIdentity, false, fresh_state());
}

std::filesystem::path checkpoint(const std::filesystem::path& run, int64_t step) {
  return run / "checkpoints" / ("step-" + std::to_string(step));
}

std::vector<std::string> names_in(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

void damage(const std::filesystem::path& folder) { std::ofstream(folder / "rows.safetensors", std::ios::app) << "x"; }

/// Changes state.json and makes the digest right again.
void rewrite_state(const std::filesystem::path& folder, const std::function<void(nlohmann::json&)>& change) {
  nlohmann::json json = read_json(folder / "state.json");
  change(json);
  std::ofstream(folder / "state.json") << json.dump();
  std::ofstream(folder / "digest") << sha256_hex(sha256_of_file(folder / "rows.safetensors") +
                                                 sha256_of_file(folder / "state.json"));
}

/// NaN equals NaN here.
void expect_same(double x, double y) { EXPECT_TRUE(x == y || (std::isnan(x) && std::isnan(y))) << x << " and " << y; }

TEST(CheckpointTest, EveryNumberComesBackAlsoOneThatIsNotFinite) {
  const test::TemporaryFolder run;
  for (const double number : {kNan, kInfinity, -kInfinity, 0.1, -0.0, 5e-324, 1.7976931348623157e308}) {
    SCOPED_TRACE(number);
    TrainingState state = state_at(3);
    JobState &first = state.jobs[0], &second = state.jobs[1];
    first = {.step = 3, .loss_sum = number, .epoch_loss = number, .last_loss = number};
    first.best = {.step = 2, .epoch = 1, .value = number, .validation = number, .stale = 4};
    second = {.step = 1, .loss_sum = 0.3, .epoch_loss = 0.4, .last_loss = 0.5};
    second.best = {.step = 1, .epoch = 1, .value = 1, .validation = {}, .stale = 0};
    second.ended = JobEnd{.step = 2, .reason = "found loss nan"};
    write_checkpoint(run.path(), state, kIdentity);
    const std::optional<TrainingState> found = read(run.path());
    ASSERT_TRUE(found);
    const JobState &one = found->jobs.at(0), &other = found->jobs.at(1);
    EXPECT_EQ(one.step, 3);
    EXPECT_EQ(one.best.stale, 4);
    for (const double back : {one.best.value, one.best.validation.value(), one.loss_sum, one.epoch_loss, one.last_loss})
      expect_same(back, number);
    EXPECT_FALSE(one.ended);
    EXPECT_EQ(other.step, 1);
    EXPECT_FALSE(other.best.validation);
    EXPECT_EQ(std::vector({other.loss_sum, other.epoch_loss, other.last_loss}), (std::vector{0.3, 0.4, 0.5}));
    ASSERT_TRUE(other.ended);
    EXPECT_EQ(other.ended->step, 2);
    EXPECT_EQ(other.ended->reason, "found loss nan");
    EXPECT_TRUE(found->values.equal(state.values));
  }
}

TEST(CheckpointTest, ThoseOfTheLastVersionAreRead) {
  const test::TemporaryFolder run;
  write_checkpoint(run.path(), state_at(3), kIdentity);
  rewrite_state(checkpoint(run.path(), 3), [](nlohmann::json& json) {
    json["format"] = "loraxs-checkpoint-2";
    json.erase("ended");
    json.erase("last_losses");
    json["best"][0]["value"] = nullptr;  // as NaN was written
  });
  const std::optional<TrainingState> found = read(run.path());
  ASSERT_TRUE(found);
  ASSERT_EQ(found->jobs.size(), 2U);
  EXPECT_TRUE(std::isnan(found->jobs[0].best.value));
  EXPECT_FALSE(found->jobs[0].ended);
  EXPECT_EQ(found->jobs[1].last_loss, 0);
}

TEST(CheckpointTest, AWholeOneIsKeptHoweverManyDamagedOnesAreNewer) {
  const test::TemporaryFolder run;
  for (const int64_t step : {5, 9}) write_checkpoint(run.path(), state_at(step), kIdentity);
  std::filesystem::create_directories(checkpoint(run.path(), 10));
  damage(checkpoint(run.path(), 9));
  EXPECT_EQ(read(run.path())->step, 5);
  write_checkpoint(run.path(), state_at(6), kIdentity);
  EXPECT_EQ(names_in(run / "checkpoints"), (std::vector<std::string>{"step-5", "step-6"}));
  damage(checkpoint(run.path(), 6));
  EXPECT_EQ(read(run.path())->step, 5);
  write_checkpoint(run.path(), state_at(6), kIdentity);  // in the place of the damaged one
  EXPECT_EQ(read(run.path())->step, 6);
  for (const int64_t step : {7, 8}) write_checkpoint(run.path(), state_at(step), kIdentity);
  EXPECT_EQ(names_in(run / "checkpoints"), (std::vector<std::string>{"step-7", "step-8"}));
}

TEST(CheckpointTest, WhatOthersPutThereStays) {
  const test::TemporaryFolder run;
  write_checkpoint(run.path(), state_at(1), kIdentity);
  const std::filesystem::path folder = run / "checkpoints";
  std::ofstream(checkpoint(run.path(), 1) / "notes.txt") << "mine";
  std::filesystem::copy(checkpoint(run.path(), 1), folder / "step-1-kept", std::filesystem::copy_options::recursive);
  std::filesystem::create_directory(folder / ".keep");
  std::filesystem::create_directory_symlink("step-1-kept", folder / "step-0");
  for (const int64_t step : {2, 3, 4}) write_checkpoint(run.path(), state_at(step), kIdentity);
  EXPECT_EQ(names_in(folder),
            (std::vector<std::string>{".keep", "step-0", "step-1", "step-1-kept", "step-3", "step-4"}));
  EXPECT_EQ(names_in(folder / "step-1"), std::vector<std::string>{"notes.txt"});
  EXPECT_EQ(names_in(folder / "step-1-kept").size(), 4U);
  const test::TemporaryFolder linked;
  std::filesystem::create_directory_symlink(folder, linked / "checkpoints");
  EXPECT_ERROR(write_checkpoint(linked.path(), state_at(9), kIdentity), "expected a folder of this run, found a link");
  EXPECT_FALSE(read(linked.path()));
}

TEST(CheckpointTest, OneThatIsNotThisRunsIsOneSentence) {
  const test::TemporaryFolder run;
  write_checkpoint(run.path(), state_at(3), kIdentity);
  TrainingState wider = fresh_state();
  wider.second_moments = torch::zeros({kSavedJobs, kRow + 1});
  EXPECT_ERROR(read_newest_checkpoint(run.path(), kIdentity, false, wider), "second_moments: expected Float [2, 6]");
  TrainingState exact = fresh_state();
  exact.values = exact.values.to(torch::kFloat64);
  EXPECT_ERROR(read_newest_checkpoint(run.path(), kIdentity, false, exact), "values: expected Double");
  TrainingState pruned = fresh_state();
  pruned.importance = torch::zeros({kSavedJobs, 3});
  EXPECT_ERROR(read_newest_checkpoint(run.path(), kIdentity, false, pruned), "expected a tensor importance");
  EXPECT_ERROR(read_newest_checkpoint(run.path(), {"another", "here"}, false, fresh_state()), "of another");
  EXPECT_ERROR(read_newest_checkpoint(run.path(), {"this run", "there"}, false, fresh_state()), "--allow-drift");
  const std::filesystem::path folder = checkpoint(run.path(), 3);
  const std::string before(MappedFile::open(folder / "state.json")->text());
  const nlohmann::json written = nlohmann::json::parse(before);
  for (const auto& [key, value] : written.items()) {
    if (key == "content" || key == "numerics") continue;
    for (const nlohmann::json& other : {nlohmann::json("text"), nlohmann::json({{"a", 1}}), nlohmann::json()}) {
      SCOPED_TRACE(key + " as " + other.dump());
      rewrite_state(folder, [&](nlohmann::json& json) { json[key] = other; });
      EXPECT_ERROR(read(run.path()), "state.json: ");
      std::ofstream(folder / "state.json") << before;
    }
  }
}

}  // namespace
}  // namespace loraxs
