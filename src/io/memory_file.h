// io/memory_file.h: bytes under a path, for readers of files, and on no disk.
#pragma once
#include <string>

namespace loraxs {

/// What came with a request is never written to a disk. The path is good while this lives, in this process.
class MemoryFile {
 public:
  /// `name` is for lists of open files. Throws std::bad_alloc where there is no memory for it.
  MemoryFile(const std::string& name, const std::string& bytes);
  ~MemoryFile();
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  std::string path() const;

 private:
  int file_;
};

}  // namespace loraxs
