// io/mapped_file.h: a file read through the page cache, without a copy.
#pragma once
#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string_view>

namespace loraxs {

/// A read-only private mapping of a whole file. The size is taken once, at open; the mapping lives as long as the
/// object.
class MappedFile {
 public:
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

 private:
  MappedFile(std::filesystem::path path, std::span<const std::byte> bytes) : path_(std::move(path)), bytes_(bytes) {}
  std::filesystem::path path_;
  std::span<const std::byte> bytes_;
};

}  // namespace loraxs
