#include "io/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "io/error.h"

namespace loraxs {
namespace {

std::filesystem::path folder_of(const std::filesystem::path& path) {
  const std::filesystem::path parent = path.parent_path();
  return parent.empty() ? std::filesystem::path(".") : parent;
}

[[noreturn]] void give_up(const std::filesystem::path& path, const std::string& action, int reason) {
  std::string hint;
  if (reason == ENOSPC || reason == EDQUOT) hint = "; free some space or write to another disk";
  if (reason == EACCES || reason == EPERM || reason == EROFS) hint = "; choose a folder you may write to";
  if (reason == ENOENT) hint = "; its folder does not exist";
  throw Error(concat(path.string(), ": cannot ", action, ": ", std::strerror(reason), hint));
}

/// Closes on scope exit.
struct Descriptor {
  int value;
  ~Descriptor() {
    if (value >= 0) ::close(value);
  }
};

void sync_path(const std::filesystem::path& path, int flags) {
  const Descriptor descriptor{::open(path.c_str(), flags | O_CLOEXEC)};
  if (descriptor.value < 0) give_up(path, "open", errno);
  if (::fsync(descriptor.value) != 0) give_up(path, "sync", errno);
}

std::string name_aside(const std::filesystem::path& path) {
  return (folder_of(path) / ("." + path.filename().string() + ".XXXXXX")).string();
}

}  // namespace

void write_file_atomically(const std::filesystem::path& path, const std::function<void(const ByteSink& sink)>& fill) {
  if (std::filesystem::is_directory(path))
    throw Error(concat(path.string(), ": expected a file to write, found a folder"));
  std::string aside = name_aside(path);
  Descriptor descriptor{::mkostemp(aside.data(), O_CLOEXEC)};
  if (descriptor.value < 0) give_up(path, "create", errno);
  try {
    fill([&](std::span<const std::byte> bytes) {
      while (!bytes.empty()) {
        const ssize_t count = ::write(descriptor.value, bytes.data(), bytes.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) give_up(path, "write", errno);
        bytes = bytes.subspan(static_cast<size_t>(count));
      }
    });
    if (::fchmod(descriptor.value, 0644) != 0) give_up(path, "set the mode of", errno);
    if (::fsync(descriptor.value) != 0) give_up(path, "sync", errno);
    if (::rename(aside.c_str(), path.c_str()) != 0) give_up(path, "rename", errno);
  } catch (...) {
    ::unlink(aside.c_str());
    throw;
  }
  sync_path(folder_of(path), O_RDONLY | O_DIRECTORY);
}

void write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes) {
  write_file_atomically(path, [&](const ByteSink& sink) { sink(bytes); });
}

void write_file_atomically(const std::filesystem::path& path, std::string_view text) {
  write_file_atomically(path, std::as_bytes(std::span(text)));
}

void write_folder_atomically(const std::filesystem::path& path,
                             const std::function<void(const std::filesystem::path& folder)>& fill) {
  std::string aside = name_aside(path);
  if (::mkdtemp(aside.data()) == nullptr) give_up(path, "create", errno);
  try {
    if (::chmod(aside.c_str(), 0755) != 0) give_up(path, "set the mode of", errno);
    fill(aside);
    for (const auto& entry : std::filesystem::recursive_directory_iterator(aside)) {
      sync_path(entry.path(), entry.is_directory() ? O_RDONLY | O_DIRECTORY : O_RDONLY);
    }
    sync_path(aside, O_RDONLY | O_DIRECTORY);
    if (std::filesystem::exists(path)) {
      // rename() cannot replace a folder that holds files. Between the two renames `path` is absent; what it held is
      // not.
      std::string old = name_aside(path);
      if (::mkdtemp(old.data()) == nullptr) give_up(path, "create", errno);
      if (::rename(path.c_str(), old.c_str()) != 0) give_up(path, "move away", errno);
      if (::rename(aside.c_str(), path.c_str()) != 0) give_up(path, "rename", errno);
      std::filesystem::remove_all(old);
    } else if (::rename(aside.c_str(), path.c_str()) != 0) {
      give_up(path, "rename", errno);
    }
  } catch (...) {
    std::error_code ignored;
    std::filesystem::remove_all(aside, ignored);
    throw;
  }
  sync_path(folder_of(path), O_RDONLY | O_DIRECTORY);
}

void check_writable(const std::filesystem::path& folder) {
  std::string probe = (folder / ".loraxs-probe.XXXXXX").string();
  const Descriptor descriptor{::mkostemp(probe.data(), O_CLOEXEC)};
  if (descriptor.value < 0) give_up(folder, "write here", errno);
  ::unlink(probe.c_str());
}

}  // namespace loraxs
