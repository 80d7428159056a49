#include "store/write_lock.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <thread>

#include "io/error.h"
#include "io/system_error.h"

namespace loraxs {
namespace {

constexpr off_t kQueueByte = 0, kWriterByte = 1, kTextAt = 2;

// Locks of the open file, not of the process: threads exclude each other too (fcntl(2), "Open file description locks").
bool set_lock(int descriptor, short type, off_t byte) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = byte;
  lock.l_len = 1;
  while (true) {
    if (::fcntl(descriptor, F_OFD_SETLK, &lock) == 0) return true;
    if (errno != EINTR) return false;
  }
}

/// "process 123, put"
std::string holder(int descriptor) {
  std::array<char, 80> text;
  const ssize_t count = ::pread(descriptor, text.data(), text.size(), kTextAt);
  if (count <= 0) return "another program";
  const std::string_view found(text.data(), static_cast<std::size_t>(count));
  return std::string(found.substr(0, found.find('\n')));
}

}  // namespace

WriteLock::WriteLock(const std::filesystem::path& path, const std::string& purpose, double seconds) {
  descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor_ < 0) fail_to("write", path, errno);
  const auto until = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  auto pause = std::chrono::microseconds(50);
  for (const off_t byte : {kQueueByte, kWriterByte}) {
    while (!set_lock(descriptor_, F_WRLCK, byte)) {
      const int reason = errno;
      const bool busy = reason == EAGAIN || reason == EACCES;
      if (busy && std::chrono::steady_clock::now() < until) {
        std::this_thread::sleep_for(pause);
        pause = std::min(2 * pause, std::chrono::microseconds(2'000));
        continue;
      }
      const std::string who = holder(descriptor_);
      ::close(descriptor_);
      if (!busy) fail_to("lock", path, reason);
      throw Error(concat(path.parent_path().string(), ": expected to write within ", seconds,
                         " s, found the store held by ", who, "; wait for it or end it"));
    }
  }
  set_lock(descriptor_, F_UNLCK, kQueueByte);
  const std::string text = concat("process ", ::getpid(), ", ", purpose, '\n');
  // For messages alone: where it cannot be written, they say less.
  [[maybe_unused]] const ssize_t written = ::pwrite(descriptor_, text.data(), text.size(), kTextAt);
}

WriteLock::~WriteLock() { ::close(descriptor_); }

}  // namespace loraxs
