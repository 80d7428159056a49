#include "io/input_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "io/error.h"

namespace loraxs {
namespace {

const char* kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a named pipe";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

/// What stands in a folder that was cloned without its large files, in place of each.
constexpr std::string_view kPointer = "version https://git-lfs.github.com/spec/";
constexpr size_t kLongestPointer = 1024;  // git-lfs's own limit

}  // namespace

InputFile::InputFile(const std::filesystem::path& path) : path_(path) {
  // Not blocking: else the open itself waits where a pipe has no writer, and for some devices.
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (descriptor_ < 0) {
    // A socket cannot be opened (ENXIO); its kind says more than the reason.
    struct stat status {};
    if (errno == ENXIO && ::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
      throw Error(concat(path.string(), ": expected a file, found ", kind_of(status.st_mode)));
    }
    throw Error(concat(path.string(), ": cannot open: ", std::strerror(errno)));
  }
  struct stat status {};
  const bool known = fstat(descriptor_, &status) == 0;
  if (!known || !S_ISREG(status.st_mode)) {
    ::close(descriptor_);
    throw Error(concat(path.string(), ": expected a file, found ", known ? kind_of(status.st_mode) : "none"));
  }
  size_ = static_cast<size_t>(status.st_size);
  if (size_ < kPointer.size() || size_ >= kLongestPointer) return;
  std::array<char, kPointer.size()> begin{};
  const ssize_t count = ::pread(descriptor_, begin.data(), begin.size(), 0);
  if (count != static_cast<ssize_t>(begin.size()) || std::string_view(begin.data(), begin.size()) != kPointer) return;
  ::close(descriptor_);
  throw Error(concat(path.string(),
                     ": expected the file itself, found the git-lfs pointer that stands for it; run "
                     "git lfs install && git lfs pull in its repository, or huggingface-cli download"));
}

InputFile::~InputFile() { ::close(descriptor_); }

void InputFile::read(std::span<std::byte> bytes) const {
  for (size_t done = 0; done < bytes.size();) {
    constexpr size_t kMostAtOnce = size_t{1} << 30;  // Linux reads at most 2 GB at once
    const ssize_t count =
        ::pread(descriptor_, bytes.data() + done, std::min(bytes.size() - done, kMostAtOnce), static_cast<off_t>(done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw Error(concat(path_.string(), ": cannot read: ", std::strerror(errno)));
    if (count == 0) {
      throw Error(concat(path_.string(), ": expected ", bytes.size(), " bytes, found ", done,
                         "; the file became shorter while it was read"));
    }
    done += static_cast<size_t>(count);
  }
}

std::string read_file(const std::filesystem::path& path, size_t most) {
  const InputFile file(path);
  if (file.size() > most) {
    throw Error(concat(path.string(), ": expected a file of at most ", most, " bytes, found ", file.size()));
  }
  std::string text(file.size(), '\0');
  file.read(std::as_writable_bytes(std::span(text)));
  return text;
}

}  // namespace loraxs
