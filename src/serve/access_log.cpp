#include "serve/access_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>

#include "io/error.h"
#include "io/json.h"
#include "io/system_error.h"

namespace loraxs {
namespace {

/// "2026-11-30T02:07:33.123Z"
std::string time_text(std::chrono::system_clock::time_point now) {
  constexpr int64_t kThousand = 1000;
  const int64_t milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count();
  const std::time_t seconds = milliseconds / kThousand;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  std::array<char, 40> text;
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S.", &parts);
  const std::string fraction = std::to_string(kThousand + milliseconds % kThousand);
  return std::string(text.data()) + fraction.substr(1) + "Z";
}

}  // namespace

AccessLog::AccessLog(std::filesystem::path path, LogSink log) : path_(std::move(path)), log_(std::move(log)) {
  if (path_ == "-") {
    descriptor_ = STDERR_FILENO;
    return;
  }
  open();
  if (descriptor_ < 0) fail_to("open", path_, errno);
}

AccessLog::~AccessLog() {
  if (descriptor_ > STDERR_FILENO) ::close(descriptor_);
}

void AccessLog::open() {
  constexpr mode_t kForAdministrators = 0640;
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, kForAdministrators);
}

void AccessLog::follow() {
  struct stat there {
  }, ours{};
  const bool same = ::stat(path_.c_str(), &there) == 0 && ::fstat(descriptor_, &ours) == 0 &&
                    there.st_ino == ours.st_ino && there.st_dev == ours.st_dev;
  if (same) return;
  const int old = descriptor_;
  open();
  if (descriptor_ < 0) {
    descriptor_ = old;  // what was moved away is better than nothing
  } else if (old >= 0) {
    ::close(old);
  }
}

void AccessLog::write(const nlohmann::ordered_json& line) {
  const auto now = std::chrono::system_clock::now();
  nlohmann::ordered_json whole = {{"time", time_text(now)}};
  whole.update(line);
  const std::string text = json_text(whole) + "\n";
  const std::lock_guard lock(mutex_);
  const int64_t seconds = std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
  if (path_ != "-" && seconds != looked_) {
    looked_ = seconds;
    follow();
  }
  // One call a line: what several processes append does not mix.
  if (::write(descriptor_, text.data(), text.size()) == static_cast<ssize_t>(text.size())) {
    failed_ = false;
  } else if (!std::exchange(failed_, true) && log_) {
    log_(LogLevel::kWarning, concat(path_.string(), ": cannot write the access log: ", std::strerror(errno)));
  }
}

nlohmann::ordered_json access_line(const HttpRecord& record) {
  return {{"id", record.id},
          {"peer", record.peer},
          {"method", record.method},
          {"path", record.path},
          {"status", record.status},
          {"whole", record.whole},
          {"request_bytes", record.request_bytes},
          {"reply_bytes", record.reply_bytes},
          {"seconds", record.seconds}};
}

}  // namespace loraxs
