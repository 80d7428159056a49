#include "commands/progress.h"

#include <algorithm>
#include <atomic>
#include <cstdio>

#include "io/error.h"

namespace loraxs {
namespace {

constexpr auto kBetweenLines = std::chrono::seconds(4);

std::atomic<std::chrono::steady_clock::rep> heard_at = 0;  // ticks of the clock at the last line of somebody else

}  // namespace

std::string clock_text(double seconds) {
  char text[32];
  const auto whole = static_cast<long>(seconds);
  std::snprintf(text, sizeof text, "%ld:%02ld", whole / 60, whole % 60);
  return text;
}

Progress::Progress(LogSink log) : log_(std::move(log)) {
  if (!log_) return;
  thread_ = std::thread([this] {
    std::unique_lock lock(mutex_);
    while (!over_) {
      changed_.wait_until(lock, said_ + kBetweenLines);
      const auto now = std::chrono::steady_clock::now();
      said_ = std::max(said_, std::chrono::steady_clock::time_point(std::chrono::steady_clock::duration(heard_at)));
      if (over_ || now - said_ < kBetweenLines) continue;
      said_ = now;
      if (!stage_.empty()) say();
    }
  });
}

Progress::~Progress() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void Progress::heard() { heard_at = std::chrono::steady_clock::now().time_since_epoch().count(); }

void Progress::begin(const std::string& stage, int64_t all) {
  const std::lock_guard lock(mutex_);
  stage_ = stage;
  facts_.clear();
  done_ = 0;
  first_ = -1;
  all_ = all;
  begin_ = std::chrono::steady_clock::now();
}

void Progress::at(int64_t done, const std::string& facts) {
  const std::lock_guard lock(mutex_);
  if (first_ < 0) first_ = done - 1;
  done_ = done;
  facts_ = facts;
  if (log_ && done == all_) say();
}

void Progress::step() { at(done_ + 1); }

void Progress::say() {
  said_ = std::chrono::steady_clock::now();
  const double seconds = std::chrono::duration<double>(said_ - begin_).count();
  if (all_ == 0 || first_ < 0) {
    log_(LogLevel::kInfo, concat(stage_, " seconds=", static_cast<int64_t>(seconds)));
    return;
  }
  const double left = seconds / static_cast<double>(done_ - first_) * static_cast<double>(all_ - done_);
  log_(LogLevel::kInfo,
       concat(stage_, "=", done_, "/", all_, facts_.empty() ? "" : " ", facts_, " eta=", clock_text(left)));
}

}  // namespace loraxs
