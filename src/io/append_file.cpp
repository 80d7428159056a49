#include "io/append_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "io/error.h"

namespace loraxs {

AppendFile::AppendFile(std::filesystem::path path) : path_(std::move(path)) {
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor_ < 0 || ::lseek(descriptor_, 0, SEEK_END) < 0) fail("open");
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
