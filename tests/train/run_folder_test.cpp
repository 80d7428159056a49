// The files that a run appends to: metrics cut back on resume, TensorBoard events that follow them.
#include "train/run_folder.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
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
    open.truncate_metrics(0);
    open.append_metrics(step(20));
    kept = open.sync_metrics();
    open.append_metrics(step(40));
    EXPECT_EQ(records(content(run / "events.out.tfevents.loraxs")).size(), 1U + 2U * 2U);  // header, loss and schedule
  }
  EXPECT_ERROR(RunFolder(run, "model: m\n", false), "--resume");
  RunFolder open(run, "model: m\n", /*resume=*/true);
  open.truncate_metrics(kept);
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

}  // namespace
}  // namespace loraxs
