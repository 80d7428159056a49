// io/mapped_file.h: a file as bytes in memory: small ones are copied, large ones read through the page cache.
#pragma once
#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace loraxs {

/// The bytes of a whole file, read-only. The size is taken once, at open; the bytes live as long as the object.
///
/// Up to kCopiedBytes they are a copy: whatever becomes of the file, they stay. Larger files (weights of gigabytes) are
/// a private mapping, and where somebody cuts such a file meanwhile, touching a page behind its new end raises SIGBUS.
/// The program answers that with one sentence and exit code 2 (end_cleanly_on_lost_pages); a process that uses the
/// library and has not called it ends by the signal.
class MappedFile {
 public:
  static constexpr size_t kCopiedBytes = size_t{16} << 20;

  /// Throws Error when the file is missing, not a regular file, or not readable. An empty file maps to an empty span.
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::span<const std::byte> bytes() const { return bytes_; }
  /// Pages read so far may leave this process's memory; whoever touches them again reads them from the page cache.
  void release_pages() const;
  std::string_view text() const { return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()}; }
  /// What to say when pages of the mapping are gone.
  const std::string& lost() const { return lost_; }

 private:
  MappedFile(std::filesystem::path path, std::span<const std::byte> bytes);
  std::filesystem::path path_;
  std::span<const std::byte> bytes_;
  std::string lost_;  // empty where the bytes are a copy
};

/// From now on SIGBUS inside the mapping of a MappedFile prints "loraxs: FILE: …" and ends the process with exit code
/// 2; anywhere else it does what it did by default. Call once, in a program's main thread.
void end_cleanly_on_lost_pages();

}  // namespace loraxs
