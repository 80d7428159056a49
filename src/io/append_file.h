// io/append_file.h: a log that grows at its end and may be cut back to a length that was synced before.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string_view>

namespace loraxs {

/// All members throw Error with path and reason.
class AppendFile {
 public:
  /// Opens or creates; the content stays. Throws too when it is no regular file or another process has it open here.
  explicit AppendFile(std::filesystem::path path);
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  /// Drops everything from `bytes` on; appending goes on there.
  void cut(uint64_t bytes);
  void append(std::string_view text);
  /// What was appended is on disk after it. Returns the length.
  uint64_t sync();

 private:
  [[noreturn]] void fail(const char* doing) const;
  std::filesystem::path path_;
  int descriptor_ = -1;
};

}  // namespace loraxs
