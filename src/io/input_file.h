// io/input_file.h: files of others, opened without waiting for anybody.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace loraxs {

/// A regular file open for reading. A FIFO, a socket, a device and a folder are refused at once: opening the first
/// would wait for a writer that never comes.
class InputFile {
 public:
  /// Throws Error when the file is missing, not readable, not a regular file, or a git-lfs pointer in its place.
  explicit InputFile(const std::filesystem::path& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  int descriptor() const { return descriptor_; }
  const std::filesystem::path& path() const { return path_; }
  size_t size() const { return size_; }  // when it was opened
  /// Fills `bytes` from the beginning of the file. Throws Error if it holds fewer by now.
  void read(std::span<std::byte> bytes) const;

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  size_t size_ = 0;
};

/// A whole file in memory. Throws Error for one larger than `most` bytes.
std::string read_file(const std::filesystem::path& path, size_t most = SIZE_MAX);

}  // namespace loraxs
