#include "io/memory_file.h"

#include <sys/mman.h>
#include <unistd.h>

#include <new>

#include "io/error.h"

namespace loraxs {

MemoryFile::MemoryFile(const std::string& name, const std::string& bytes)
    : file_(::memfd_create(name.c_str(), MFD_CLOEXEC)) {
  if (file_ < 0) throw std::bad_alloc();
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t wrote = ::write(file_, bytes.data() + done, bytes.size() - done);
    if (wrote < 0) {
      ::close(file_);
      throw std::bad_alloc();
    }
    done += static_cast<size_t>(wrote);
  }
}

MemoryFile::~MemoryFile() { ::close(file_); }

std::string MemoryFile::path() const { return concat("/proc/self/fd/", file_); }

}  // namespace loraxs
