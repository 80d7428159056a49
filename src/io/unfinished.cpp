#include "io/unfinished.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <vector>

#include "io/system_error.h"

namespace loraxs {
namespace {

constexpr std::string_view kMark = ".loraxs-unfinished-";
constexpr std::string_view kRandom = "XXXXXX";  // as mkostemp and mkdtemp fill it in

}  // namespace

Unfinished::Unfinished(const std::filesystem::path& place, Kind kind) {
  std::string name = (place.parent_path() / std::string(kMark).append(kRandom)).string();
  if (kind == Kind::kFile) {
    descriptor_ = ::mkostemp(name.data(), O_CLOEXEC);
  } else if (::mkdtemp(name.data()) != nullptr) {
    descriptor_ = ::open(name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor_ < 0) {
      const int reason = errno;
      ::rmdir(name.c_str());
      fail_to("create", place, reason);
    }
  }
  if (descriptor_ < 0) fail_to("create", place, errno);
  path_ = name;
  ::flock(descriptor_, LOCK_EX | LOCK_NB);  // nobody else knows the name; a file system without locks goes without
}

Unfinished::~Unfinished() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
  ::close(descriptor_);
}

bool is_unfinished_name(const std::string& name) {
  return name.size() == kMark.size() + kRandom.size() && name.starts_with(kMark) &&
         std::all_of(name.begin() + kMark.size(), name.end(), [](unsigned char c) { return std::isalnum(c) != 0; });
}

void remove_unfinished(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> found;
  std::error_code ignored;
  for (std::filesystem::directory_iterator entry(folder, ignored), end; entry != end; entry.increment(ignored)) {
    if (is_unfinished_name(entry->path().filename().string())) found.push_back(entry->path());
  }
  for (const std::filesystem::path& path : found) {
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (descriptor < 0) continue;
    struct stat status {};
    const bool ours = ::fstat(descriptor, &status) == 0 && (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode));
    const bool held = ::flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    if (ours && !held) std::filesystem::remove_all(path, ignored);
    ::close(descriptor);
  }
}

}  // namespace loraxs
