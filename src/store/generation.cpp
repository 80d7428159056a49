#include "store/generation.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "io/atomic_file.h"
#include "io/error.h"
#include "io/input_file.h"
#include "io/system_error.h"
#include "store/xxh3.h"

namespace loraxs {
namespace {

using Record = std::array<std::uint64_t, 2>;

Record record_of(std::uint64_t number) { return {number, XXH3_64bits(&number, sizeof number)}; }

}  // namespace

Generation::Generation(std::filesystem::path file) : file_(std::move(file)) {
  if (std::error_code code; !std::filesystem::exists(file_, code)) {
    throw Error(concat(file_.string(), ": damaged: the store lacks this file of its own; put a backup in the store's ",
                       "place"));
  }
  const InputFile input(file_);
  Record record = {};
  if (input.size() == sizeof record) input.read(std::as_writable_bytes(std::span(record)));
  if (input.size() != sizeof record || record != record_of(record[0])) {
    throw Error(concat(file_.string(), ": damaged: expected the number of the store's folder, 16 bytes with their ",
                       "checksum, found others; put a backup in the store's place"));
  }
  void* const mapped = ::mmap(nullptr, sizeof record, PROT_READ, MAP_SHARED, input.descriptor(), 0);
  if (mapped == MAP_FAILED) fail_to("map", file_, errno);
  mapped_ = static_cast<const std::uint64_t*>(mapped);
}

Generation::~Generation() { ::munmap(const_cast<std::uint64_t*>(mapped_), sizeof(Record)); }

std::uint64_t Generation::number() const {
  return std::atomic_ref<std::uint64_t>(*const_cast<std::uint64_t*>(mapped_)).load(std::memory_order_acquire);
}

void Generation::publish(std::uint64_t number) {
  const int descriptor = ::open(file_.c_str(), O_WRONLY | O_CLOEXEC);
  if (descriptor < 0) fail_to("write", file_, errno);
  const Record record = record_of(number);
  const bool written = ::pwrite(descriptor, record.data(), sizeof record, 0) == sizeof record;
  const int reason = written && ::fsync(descriptor) == 0 ? 0 : errno;
  ::close(descriptor);
  if (reason != 0) fail_to("write", file_, reason);
}

void Generation::write(const std::filesystem::path& file, std::uint64_t number) {
  const Record record = record_of(number);
  write_file_atomically(file, std::as_bytes(std::span(record)));
}

}  // namespace loraxs
