#include "io/mapped_file.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>

#include "io/error.h"
#include "io/input_file.h"
#include "io/watched_reading.h"

namespace loraxs {
namespace {

// A signal handler can reach nothing but globals. A mapping beyond the last place goes unnamed, and its loss ends the
// process by the signal.
std::array<std::atomic<const MappedFile*>, 1024> mappings;
thread_local const std::string* reading = nullptr;  // what to say where this thread reads what it should not

void exchange_mapping(const MappedFile* before, const MappedFile* after) {
  for (auto& place : mappings) {
    const MappedFile* expected = before;
    if (place.compare_exchange_strong(expected, after)) return;
  }
}

void say(std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::write(STDERR_FILENO, text.data(), text.size());
    if (count <= 0) return;
    text.remove_prefix(static_cast<size_t>(count));
  }
}

[[noreturn]] void end_with(const std::string& lost) {
  say("loraxs: ");
  say(lost);
  say("\n");
  _exit(2);
}

void on_lost_page(int signal, siginfo_t* info, void*) {
  if (reading != nullptr) end_with(*reading);
  const auto* at = static_cast<const std::byte*>(info->si_addr);
  for (const auto& place : mappings) {
    const MappedFile* file = place.load();
    if (signal != SIGBUS || file == nullptr || at < file->bytes().data() ||
        at >= file->bytes().data() + file->bytes().size())
      continue;
    end_with(file->lost());
  }
  ::signal(signal, SIG_DFL);  // the same instruction raises it again
}

}  // namespace

WatchedReading::WatchedReading(const std::string& lost) : before_(reading) { reading = &lost; }
WatchedReading::~WatchedReading() { reading = before_; }

void end_watched_reading() {
  if (reading != nullptr) end_with(*reading);
}

MappedFile::MappedFile(std::filesystem::path path, std::span<const std::byte> bytes)
    : path_(std::move(path)), bytes_(bytes) {
  if (bytes_.size() <= kCopiedBytes) return;
  lost_ = safe_message(concat(path_.string(), ": expected ", bytes_.size(),
                              " bytes, found fewer; the file became shorter while it was in use"));
  exchange_mapping(nullptr, this);
}

std::shared_ptr<const MappedFile> MappedFile::open(const std::filesystem::path& path) {
  const InputFile file(path);
  const size_t size = file.size();
  if (size == 0) return std::shared_ptr<const MappedFile>(new MappedFile(path, {}));
  const bool copied = size <= kCopiedBytes;
  // Copies stand in pages of their own too: aligned alike, and given back as one.
  void* data = copied ? mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
                      : mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.descriptor(), 0);
  if (data == MAP_FAILED) {
    throw Error(concat(path.string(), ": cannot map ", size, " bytes: ", std::strerror(errno)));
  }
  const std::span bytes(static_cast<std::byte*>(data), size);
  std::shared_ptr<const MappedFile> result(new MappedFile(path, bytes));
  if (copied) file.read(bytes);
  return result;
}

void MappedFile::release_pages() const {
  if (bytes_.size() > kCopiedBytes) madvise(const_cast<std::byte*>(bytes_.data()), bytes_.size(), MADV_DONTNEED);
}

MappedFile::~MappedFile() {
  if (!lost_.empty()) exchange_mapping(this, nullptr);
  if (!bytes_.empty()) munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

void end_cleanly_on_lost_pages() {
  struct sigaction action {};
  action.sa_sigaction = on_lost_page;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGBUS, &action, nullptr);
  ::sigaction(SIGSEGV, &action, nullptr);
}

}  // namespace loraxs
