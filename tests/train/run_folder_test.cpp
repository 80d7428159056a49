// The files that a run appends to: metrics cut back on resume, TensorBoard events that follow them.
#include "train/run_folder.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <map>
#include <sstream>

#include "support/expect_error.h"
#include "support/temporary_folder.h"
#include "train/event_file.h"

namespace loraxs {
namespace {

std::string content(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Payloads of an event file, lengths and checksums verified.
std::vector<std::string> records(const std::string& bytes) {
  std::vector<std::string> result;
  const auto masked = [](const std::string& text) {
    const uint32_t crc = crc32c(text);
    return (crc >> 15 | crc << 17) + 0xA282EAD8U;
  };
  for (size_t at = 0; at < bytes.size();) {
    uint64_t length = 0;
    uint32_t length_crc = 0, crc = 0;
    std::memcpy(&length, bytes.data() + at, 8);
    std::memcpy(&length_crc, bytes.data() + at + 8, 4);
    EXPECT_EQ(length_crc, masked(bytes.substr(at, 8)));
    result.push_back(bytes.substr(at + 12, length));
    std::memcpy(&crc, bytes.data() + at + 12 + length, 4);
    EXPECT_EQ(crc, masked(result.back()));
    at += 16 + length;
  }
  return result;
}

TEST(EventFileTest, ChecksumsAreCastagnolis) {  // RFC 3720 B.4 and the customary check value
  EXPECT_EQ(crc32c("123456789"), 0xE3069283U);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAU);
  EXPECT_EQ(crc32c(std::string(32, '\xFF')), 0x62A8AB43U);
}

TEST(RunFolderTest, EventsFollowTheMetricsThatStay) {
  const test::TemporaryFolder folder;
  const std::filesystem::path run = folder / "run";
  const auto step = [](int64_t n) {
    return nlohmann::json{{"event", "step"}, {"step", n}, {"epoch", 1}, {"schedule", 0.5}, {"loss", {{"seed-0", 0.7}}}};
  };
  uint64_t kept = 0;
  {
    RunFolder open(run, "model: m\n", /*resume=*/false);
    EXPECT_EQ(open.start_metrics(0), 0U);
    open.append_metrics(step(20));
    kept = open.sync_metrics();
    open.append_metrics(step(40));
    EXPECT_EQ(records(content(run / "events.out.tfevents.loraxs")).size(), 1U + 2U * 2U);  // header, loss and schedule
  }
  EXPECT_ERROR(RunFolder(run, "model: m\n", false), "--resume");
  RunFolder open(run, "model: m\n", /*resume=*/true);
  EXPECT_EQ(open.start_metrics(kept), kept);
  open.append_metrics(
      {{"event", "evaluation"}, {"step", 30}, {"epoch", 1}, {"job", "seed-0"}, {"loss", 0.6}, {"accuracy", 0.75}});
  std::istringstream lines(content(run / "metrics.jsonl"));
  std::vector<int64_t> steps;
  for (std::string line; std::getline(lines, line);) steps.push_back(nlohmann::json::parse(line).at("step"));
  EXPECT_EQ(steps, (std::vector<int64_t>{20, 30}));
  const auto events = records(content(run / "events.out.tfevents.loraxs"));
  ASSERT_EQ(events.size(), 1U + 2U + 2U);
  EXPECT_NE(events[0].find("brain.Event:2"), std::string::npos);
  EXPECT_NE(events[1].find("loss/seed-0"), std::string::npos);
  EXPECT_NE(events[3].find("accuracy/seed-0"), std::string::npos);
  EXPECT_NE(events[4].find("epoch_loss/seed-0"), std::string::npos);
}

void put(const std::filesystem::path& file, const std::string& text) {
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file) << text;
}

std::map<std::string, std::string> files_below(const std::filesystem::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    files[entry.path().string()] = entry.is_regular_file() ? content(entry.path()) : "";
  }
  return files;
}

void open_run(const std::filesystem::path& run, bool resume) { RunFolder(run, "model: m\n", resume); }

TEST(RunFolderTest, WhatIsNoRunIsRefusedResumedOrNotAndStaysAsItIs) {
  const test::TemporaryFolder folder;
  const std::vector<std::vector<std::string>> others = {
      {".git/config"},
      {".ssh/id"},
      {"thesis.txt", ".hidden"},
      {"recipe.yaml", ".git/config"},                      // a project with a recipe in it
      {"recipe.yaml", "checkpoints/step-100/state.json"},  // another program's checkpoints
      {"metrics.jsonl", "recipe.yaml", "checkpoints/.keep"},
      {"events.out.tfevents.1234.host", "recipe.yaml"},  // TensorBoard's own
      {"metrics.jsonl", "events.out.tfevents.loraxs"},
      {".loraxs-run", "thesis.txt"},
      {".loraxs-unfinished-abc123", "thesis.txt"}};
  for (size_t i = 0; i < others.size(); ++i) {
    const std::filesystem::path output = folder / ("other" + std::to_string(i));
    for (const std::string& name : others[i]) put(output / name, "{\"mine\": true}");
  }
  put(folder / "file", "mine");
  std::filesystem::create_symlink("nowhere", folder / "loose-link");
  const auto before = files_below(folder.path());
  for (const bool resume : {false, true}) {
    SCOPED_TRACE(resume);
    for (size_t i = 0; i < others.size(); ++i) {
      const std::filesystem::path output = folder / ("other" + std::to_string(i));
      EXPECT_ERROR(check_run_output(output, resume), "expected nothing, an empty folder or a run of loraxs there");
      EXPECT_ERROR(open_run(output, resume), "choose another output");
    }
    for (const char* name : {"file", "loose-link"})
      EXPECT_ERROR(open_run(folder / name, resume), "choose another output");
    EXPECT_ERROR(open_run(folder.path(), resume), "choose another output");
    EXPECT_EQ(files_below(folder.path()), before);
  }
}

TEST(RunFolderTest, NothingAnEmptyFolderAndRunsOfEarlierVersionsGoOn) {
  const test::TemporaryFolder folder;
  for (const bool resume : {false, true}) {
    const std::string name = resume ? "resumed" : "new";
    open_run(folder / name / "deep", resume);
    std::filesystem::create_directory(folder / (name + "-empty"));
    open_run(folder / (name + "-empty"), resume);
    put(folder / (name + "-killed") / ".loraxs-run", "");
    put(folder / (name + "-killed") / ".loraxs-unfinished-abc123", "mod");
    open_run(folder / (name + "-killed"), resume);
    EXPECT_FALSE(std::filesystem::exists(folder / (name + "-killed") / ".loraxs-unfinished-abc123"));
    EXPECT_EQ(content(folder / (name + "-killed") / "recipe.yaml"), "model: m\n");
  }
  put(folder / "with-events" / "recipe.yaml", "model: theirs\n");
  put(folder / "with-events" / "events.out.tfevents.loraxs", "");
  put(folder / "first-version" / "recipe.yaml", "model: theirs\n");
  put(folder / "first-version" / "checkpoints" / "step-7" / "state.json", R"({"format": "loraxs-checkpoint-2"})");
  for (const char* name : {"with-events", "first-version"}) {
    EXPECT_ERROR(open_run(folder / name, false), "continue it with --resume");
    open_run(folder / name, true);
    EXPECT_EQ(content(folder / name / "recipe.yaml"), "model: theirs\n");
  }
}

TEST(RunFolderTest, ResumeTakesOurLeftoversAndNothingElse) {
  const test::TemporaryFolder folder;
  const std::filesystem::path run = folder / "run";
  put(folder / "elsewhere" / ".loraxs-unfinished-abc123", "theirs");
  open_run(run, false);
  for (const char* name :
       {".git/config", ".notes", "checkpoints/.keep", "checkpoints/step-1-copy/state.json", "seed-0/.keep"})
    put(run / name, "mine");
  std::filesystem::create_directory_symlink(folder / "elsewhere", run / "link");
  const auto before = files_below(folder.path());
  put(run / ".loraxs-unfinished-abc123" / "half", "left");
  put(run / "checkpoints" / ".loraxs-unfinished-Abc123" / "rows.safetensors", "left");
  put(run / "seed-0" / ".loraxs-unfinished-000000", "left");
  open_run(run, true);
  EXPECT_EQ(files_below(folder.path()), before);
}

TEST(RunFolderTest, OneProcessHoldsARun) {
  const test::TemporaryFolder folder;
  {
    const RunFolder first(folder / "run", "model: m\n", false);
    EXPECT_ERROR(open_run(folder / "run", true), "another process holds");
  }
  open_run(folder / "run", true);
}

TEST(RunFolderTest, MetricsAreWrittenAnewNotThroughLinks) {
  const test::TemporaryFolder folder;
  const std::filesystem::path run = folder / "run";
  const std::string line = R"({"event":"step","step":1,"epoch":1,"schedule":1.0,"loss":{"seed-0":null}})"
                           "\n";
  open_run(run, false);
  put(run / "metrics.jsonl", line + line);
  std::filesystem::create_hard_link(run / "metrics.jsonl", folder / "snapshot");
  put(folder / "thesis", "mine");
  std::filesystem::create_symlink("../thesis", run / "events.out.tfevents.loraxs");
  {
    RunFolder open(run, "", true);
    EXPECT_EQ(open.start_metrics(line.size()), line.size());
    open.append_metrics({{"event", "other"}, {"step", 2}});
  }
  EXPECT_EQ(content(folder / "snapshot"), line + line);
  EXPECT_EQ(content(folder / "thesis"), "mine");
  EXPECT_EQ(content(run / "metrics.jsonl"), line + "{\"event\":\"other\",\"step\":2}\n");
  // What was lost stays lost, and whole lines remain.
  put(run / "metrics.jsonl", line + line.substr(0, 10));
  EXPECT_EQ(RunFolder(run, "", true).start_metrics(1000), line.size());
  std::filesystem::remove(run / "metrics.jsonl");
  EXPECT_EQ(RunFolder(run, "", true).start_metrics(1000), 0U);
  put(run / "metrics.jsonl", "{\"event\": 1\n");
  EXPECT_ERROR(RunFolder(run, "", true).start_metrics(12), "expected a line of metrics");
}

}  // namespace
}  // namespace loraxs
