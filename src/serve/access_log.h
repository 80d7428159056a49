// serve/access_log.h: who asked what and what became of it, as JSON lines. Texts are never in it.
#pragma once
#include <filesystem>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>

#include "io/log.h"
#include "serve/http/server.h"

namespace loraxs {

/// A line at the end of a file for each call; other programs may move the file away (logrotate): within a second a new
/// one is there. Thread-safe. What cannot be written is dropped, and said once.
class AccessLog {
 public:
  /// `path` "-": stderr. Throws Error when the file cannot be opened.
  explicit AccessLog(std::filesystem::path path, LogSink log = {});
  ~AccessLog();
  AccessLog(const AccessLog&) = delete;
  AccessLog& operator=(const AccessLog&) = delete;

  /// The line begins with the time.
  void write(const nlohmann::ordered_json& line);

 private:
  void open();
  void follow();  // opens anew where the file was moved away
  const std::filesystem::path path_;
  const LogSink log_;
  std::mutex mutex_;
  int descriptor_ = -1;
  int64_t looked_ = 0;  // seconds since 1970
  bool failed_ = false;
};

/// {"id", "peer", "method", "path", "status", "whole", "request_bytes", "reply_bytes", "seconds"}
nlohmann::ordered_json access_line(const HttpRecord& record);

}  // namespace loraxs
