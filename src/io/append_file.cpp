#include "io/append_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "io/error.h"

namespace loraxs {

AppendFile::AppendFile(std::filesystem::path path) : path_(std::move(path)) {
  try {
    descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0644);  // a pipe would block
    struct stat status {};
    if (descriptor_ < 0 || ::fstat(descriptor_, &status) != 0) fail("open");
    if (!S_ISREG(status.st_mode)) throw Error(concat(path_.string(), ": expected a file, found something else"));
    // The kernel lets go of it when the process ends, however that happens.
    if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
      throw Error(concat(path_.string(), ": expected a file that nobody writes, found one that another process holds; ",
                         "wait for it to end"));
    }
    if (::lseek(descriptor_, 0, SEEK_END) < 0) fail("open");
  } catch (...) {
    if (descriptor_ >= 0) ::close(descriptor_);
    throw;
  }
}

AppendFile::~AppendFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void AppendFile::fail(const char* doing) const {
  const int code = errno;
  throw Error(concat(path_.string(), ": cannot ", doing, ": ", std::strerror(code),
                     code == ENOSPC || code == EDQUOT ? "; free some space and continue with --resume" : ""));
}

void AppendFile::cut(uint64_t bytes) {
  const auto length = static_cast<off_t>(bytes);
  if (::ftruncate(descriptor_, length) != 0 || ::lseek(descriptor_, length, SEEK_SET) < 0) fail("cut");
}

void AppendFile::append(std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::write(descriptor_, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("write");
    text.remove_prefix(static_cast<size_t>(count));
  }
}

uint64_t AppendFile::sync() {
  if (::fsync(descriptor_) != 0) fail("sync");
  return static_cast<uint64_t>(::lseek(descriptor_, 0, SEEK_CUR));
}

}  // namespace loraxs
