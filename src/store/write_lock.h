// store/write_lock.h: one writer at a time, over threads and processes, in the order they came.
#pragma once
#include <filesystem>
#include <string>

namespace loraxs {

/// Held while the object lives; the kernel lets it go when the process dies. Who waits stands in a queue of one, so a
/// writer that comes again at once does not keep a waiting one out.
class WriteLock {
 public:
  /// `purpose`: what others read while they wait. Throws Error, which names the holder, after `seconds`.
  WriteLock(const std::filesystem::path& path, const std::string& purpose, double seconds = kSeconds);
  ~WriteLock();
  WriteLock(const WriteLock&) = delete;
  WriteLock& operator=(const WriteLock&) = delete;

  static constexpr double kSeconds = 60;

 private:
  int descriptor_ = -1;
};

}  // namespace loraxs
