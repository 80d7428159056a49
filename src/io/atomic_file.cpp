#include "io/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <optional>

#include "io/error.h"
#include "io/private_file.h"
#include "io/system_error.h"
#include "io/unfinished.h"

namespace loraxs {
namespace {

std::filesystem::path folder_of(const std::filesystem::path& path) {
  const std::filesystem::path parent = path.parent_path();
  return parent.empty() ? std::filesystem::path(".") : parent;
}

void sync_path(const std::filesystem::path& path, int flags) {
  const int descriptor = ::open(path.c_str(), flags | O_CLOEXEC);
  if (descriptor < 0) fail_to("open", path, errno);
  const int reason = ::fsync(descriptor) == 0 ? 0 : errno;
  ::close(descriptor);
  if (reason != 0) fail_to("sync", path, reason);
}

/// "a file", "a folder", "a link"; nothing where nothing is. Links are not followed.
std::optional<std::string> found_at(const std::filesystem::path& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) == 0) {
    return S_ISREG(status.st_mode)   ? "a file"
           : S_ISDIR(status.st_mode) ? "a folder"
           : S_ISLNK(status.st_mode) ? "a link"
                                     : "a device or pipe";
  }
  if (errno != ENOENT && errno != ENOTDIR) fail_to("look", path, errno);
  return std::nullopt;
}

[[noreturn]] void fail_on_existing(const std::filesystem::path& path, const std::string& option) {
  throw Error(concat(path.string(), ": expected nothing there, found ", found_at(path).value_or("something"),
                     "; choose another ", option));
}

/// Errors of a file system that does not know a kind of rename.
bool is_unsupported(int reason) { return reason == EINVAL || reason == ENOSYS || reason == ENOTSUP; }

/// Gives the finished file or folder its name, which nothing has.
void rename_to_new(const std::filesystem::path& from, const std::filesystem::path& to, bool is_folder) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return;
  if (is_unsupported(errno)) {
    if (!is_folder && ::link(from.c_str(), to.c_str()) == 0) {
      ::unlink(from.c_str());
      return;
    }
    // No hard links either, or a folder: rename() replaces one only if it is empty, and nothing else by a folder.
    if (is_folder || errno != EEXIST) {
      if (found_at(to)) fail_on_existing(to, "name");
      if (::rename(from.c_str(), to.c_str()) == 0) return;
    }
  }
  const int reason = errno;
  if (reason == EEXIST || reason == ENOTEMPTY || reason == ENOTDIR) {
    if (found_at(to)) fail_on_existing(to, "name");
  }
  fail_to("rename", to, reason);
}

/// Throws Error when `old` is no folder of files and folders that `replacement` has too.
void check_replaceable(const std::filesystem::path& old, const std::filesystem::path& replacement) {
  if (const std::string found = found_at(old).value_or("nothing"); found != "a folder")
    throw Error(concat(old.string(), ": expected a folder to write anew, found ", found));
  for (const auto& entry : std::filesystem::directory_iterator(old)) {
    const std::string name = entry.path().filename().string();
    if (entry.symlink_status().type() == std::filesystem::file_type::regular && found_at(replacement / name)) continue;
    if (entry.symlink_status().type() == std::filesystem::file_type::directory &&
        found_at(replacement / name) == "a folder") {
      check_replaceable(entry.path(), replacement / name);
      continue;
    }
    throw Error(concat(old.string(), ": expected what loraxs wrote there and nothing else, found ", name,
                       "; move it to another place"));
  }
}

/// Puts the new folder in place of the old one, which then has the other's name.
void exchange(const std::filesystem::path& aside, const std::filesystem::path& path) {
  if (::renameat2(AT_FDCWD, aside.c_str(), AT_FDCWD, path.c_str(), RENAME_EXCHANGE) == 0) return;
  if (!is_unsupported(errno)) fail_to("rename", path, errno);
  const Unfinished old(path, Unfinished::Kind::kFolder);
  if (::rename(path.c_str(), old.path().c_str()) != 0) fail_to("move away", path, errno);
  if (::rename(aside.c_str(), path.c_str()) == 0) return;
  const int reason = errno;
  ::rename(old.path().c_str(), path.c_str());
  fail_to("rename", path, reason);
}

}  // namespace

void refuse_existing(const std::filesystem::path& path, const std::string& option) {
  if (found_at(path)) fail_on_existing(path, option);
  const bool named_as_folder = path.filename().empty() && path.has_parent_path();  // "name/"
  const std::filesystem::path folder = folder_of(named_as_folder ? path.parent_path() : path);
  if (::faccessat(AT_FDCWD, (folder / ".").c_str(), W_OK | X_OK, AT_EACCESS) != 0) fail_to("write in", folder, errno);
}

void refuse_inside(const std::filesystem::path& path, const std::filesystem::path& input, const std::string& option) {
  std::error_code code;
  const std::filesystem::path folder = std::filesystem::canonical(input, code);
  if (code || !std::filesystem::is_directory(folder, code)) return;  // a file has nothing inside
  const std::filesystem::path place = std::filesystem::weakly_canonical(path, code);
  const auto [rest, _] = std::mismatch(folder.begin(), folder.end(), place.begin(), place.end());
  if (code || rest != folder.end()) return;
  throw Error(concat(path.string(), ": ", option, ": expected a place outside ", input.string(),
                     ", which is read, found one inside; choose another ", option));
}

namespace {

void write_file_of_mode(const std::filesystem::path& path, const std::function<void(const ByteSink& sink)>& fill,
                        Existing existing, mode_t mode) {
  if (existing == Existing::kRefused) refuse_existing(path, "name");
  if (std::filesystem::is_directory(path))
    throw Error(concat(path.string(), ": expected a file to write, found a folder"));
  {
    const Unfinished aside(path, Unfinished::Kind::kFile);
    fill([&](std::span<const std::byte> bytes) {
      while (!bytes.empty()) {
        const ssize_t count = ::write(aside.descriptor(), bytes.data(), bytes.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) fail_to("write", path, errno);
        bytes = bytes.subspan(static_cast<size_t>(count));
      }
    });
    if (::fchmod(aside.descriptor(), mode) != 0) fail_to("set the mode of", path, errno);
    if (::fsync(aside.descriptor()) != 0) fail_to("sync", path, errno);
    if (existing == Existing::kRefused) {
      rename_to_new(aside.path(), path, /*is_folder=*/false);
    } else if (::rename(aside.path().c_str(), path.c_str()) != 0) {
      fail_to("rename", path, errno);
    }
  }
  sync_path(folder_of(path), O_RDONLY | O_DIRECTORY);
}

}  // namespace

void write_file_atomically(const std::filesystem::path& path, const std::function<void(const ByteSink& sink)>& fill,
                           Existing existing) {
  constexpr mode_t kReadableByAll = 0644;
  write_file_of_mode(path, fill, existing, kReadableByAll);
}

void write_private_file(const std::filesystem::path& path, std::string_view text) {
  constexpr mode_t kOwnersAlone = 0600;
  write_file_of_mode(
      path, [&](const ByteSink& sink) { sink(std::as_bytes(std::span(text))); }, Existing::kReplaced, kOwnersAlone);
}

void write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes, Existing existing) {
  write_file_atomically(
      path, [&](const ByteSink& sink) { sink(bytes); }, existing);
}

void write_file_atomically(const std::filesystem::path& path, std::string_view text, Existing existing) {
  write_file_atomically(path, std::as_bytes(std::span(text)), existing);
}

void write_folder_atomically(const std::filesystem::path& path,
                             const std::function<void(const std::filesystem::path& folder)>& fill, Existing existing) {
  if (path.filename().empty() && path.has_parent_path())
    return write_folder_atomically(path.parent_path(), fill, existing);  // "name/"
  if (existing == Existing::kRefused) refuse_existing(path, "name");
  const Unfinished aside(path, Unfinished::Kind::kFolder);
  if (::fchmod(aside.descriptor(), 0755) != 0) fail_to("set the mode of", path, errno);
  fill(aside.path());
  for (const auto& entry : std::filesystem::recursive_directory_iterator(aside.path())) {
    sync_path(entry.path(), entry.is_directory() ? O_RDONLY | O_DIRECTORY : O_RDONLY);
  }
  if (::fsync(aside.descriptor()) != 0) fail_to("sync", path, errno);
  if (existing == Existing::kReplaced && found_at(path)) {
    check_replaceable(path, aside.path());
    exchange(aside.path(), path);
  } else {
    rename_to_new(aside.path(), path, /*is_folder=*/true);
  }
  sync_path(folder_of(path), O_RDONLY | O_DIRECTORY);  // before the old one goes, when `aside` ends
}

void make_folder(const std::filesystem::path& path) {
  if (::mkdir(path.c_str(), 0777) == 0) return;
  if (errno != EEXIST) fail_to("create", path, errno);
  if (const std::string found = found_at(path).value_or("nothing"); found != "a folder")
    throw Error(concat(path.string(), ": expected a folder of this run, found ", found));
}

}  // namespace loraxs
