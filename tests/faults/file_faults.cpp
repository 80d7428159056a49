// Preloaded into the program by the tests beside it: counts its calls that change files, and at one of them does what
// the environment may do to a program: kill it, fail, write half, or take a file away. Only calls below FAULT_ROOT
// count.
//
// FAULT_AT=N      the call that is met, from 1
// FAULT=kill      the process dies before the call
//       power     the same, and what was not synced is undone: bytes and lengths of files, new names and new places of
//                 files and folders; with FAULT_TORN=SEED about half of the unsynced writes reach the disk all the same
//       ENOSPC    the call fails with this errno (EROFS, EACCES, EIO, EMFILE, EDQUOT too)
//       short     half of a write is done, what comes after fails with ENOSPC; other calls fail with ENOSPC
//       vanish    FAULT_VICTIM, a file or folder, is removed; then the call goes on
//       stray     the same: a planted mistake of the program, which the test must find
// FAULT_STAYS=1   all later calls that change files fail too, as on a disk that is full or became read-only
// FAULT_READS=1   files and folders opened for reading count too
// FAULT_LIES=1    syncs do nothing, as with a disk that lies: a planted mistake, which a power cut must find
// SYNC_FILE=F     receives the numbers of the calls that sync, a line each
// COUNT_FILE=F    receives the number of calls when the program ends by itself
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <random>
#include <string>
#include <vector>

namespace {

std::atomic<long> calls = 0;
std::atomic<bool> disk_full = false;  // after a short write

template <typename Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

const char* setting(const char* name) {
  const char* value = getenv(name);
  return value != nullptr ? value : "";
}

int number_of(const char* name) {
  const struct {
    const char* name;
    int number;
  } known[] = {{"ENOSPC", ENOSPC}, {"EROFS", EROFS},   {"EACCES", EACCES}, {"EIO", EIO},
               {"EMFILE", EMFILE}, {"EDQUOT", EDQUOT}, {"short", ENOSPC}};
  for (const auto& entry : known) {
    if (strcmp(entry.name, name) == 0) return entry.number;
  }
  return 0;
}

/// The tests run the program in the root, so a relative path lies below it.
bool counts(const char* path) {
  static const char* root = setting("FAULT_ROOT");
  return path[0] != '/' || strncmp(path, root, strlen(root)) == 0;
}

/// The path of an open file, or of a name in an open folder.
bool counts_at(int descriptor, const char* name = nullptr) {
  if (name != nullptr && (name[0] == '/' || descriptor == AT_FDCWD)) return counts(name);
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  const ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return false;
  path[length] = '\0';
  return counts(path);
}

int remove_entry(const char* path, const struct stat*, int, struct FTW*) {
  static const auto real = next<int (*)(const char*)>("remove");
  return real(path);
}

/// What a power cut would undo.
struct Unsynced {
  enum class What { kBytes, kName, kPlace } what;
  std::string path, from;  // kPlace: renamed from `from`
  dev_t device = 0;        // of the file, or of the folder that a name stands in
  ino_t inode = 0;
  off_t offset = 0, size = 0;  // kBytes: where, and how long the file was
  std::string old;             // what stood there
};
std::mutex unsynced_mutex;
std::vector<Unsynced>& unsynced() {
  static std::vector<Unsynced> all;
  return all;
}
bool cuts_power() {
  static const bool is_chosen = strcmp(setting("FAULT"), "power") == 0;
  return is_chosen;
}
bool lies() {
  static const bool is_chosen = strcmp(setting("FAULT_LIES"), "1") == 0;
  return is_chosen;
}

std::string path_of(int descriptor) {
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  const ssize_t length = readlink(link, path, sizeof path - 1);
  return std::string(path, length > 0 ? static_cast<size_t>(length) : 0);
}

/// Before `size` bytes at `offset` (-1: where the descriptor stands) are written.
void keep_old(int descriptor, off_t offset, size_t size) {
  if (!cuts_power() || !counts_at(descriptor)) return;
  const int flags = fcntl(descriptor, F_GETFL);
  if ((flags & O_DSYNC) != 0 && !lies()) return;  // on the disk when it returns
  struct stat status {};
  if (fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) return;
  if (offset < 0) offset = (flags & O_APPEND) != 0 ? status.st_size : lseek(descriptor, 0, SEEK_CUR);
  Unsynced kept{
      Unsynced::What::kBytes, path_of(descriptor), "", status.st_dev, status.st_ino, offset, status.st_size, ""};
  static const auto real_open = next<int (*)(const char*, int, ...)>("open");
  const std::string self = "/proc/self/fd/" + std::to_string(descriptor);
  const int reader = real_open(self.c_str(), O_RDONLY | O_CLOEXEC);
  if (reader >= 0) {
    kept.old.resize(size);
    const ssize_t count = pread(reader, kept.old.data(), size, offset);
    kept.old.resize(count > 0 ? static_cast<size_t>(count) : 0);
    close(reader);
  }
  const std::lock_guard lock(unsynced_mutex);
  unsynced().push_back(kept);
}

/// A name that came into its folder.
void keep_name(Unsynced::What what, const std::string& from, const char* path) {
  if (!cuts_power()) return;
  char absolute[PATH_MAX];
  if (realpath(path, absolute) == nullptr) return;
  const std::string folder = std::string(absolute).substr(0, std::string(absolute).rfind('/'));
  struct stat status {};
  if (stat(folder.c_str(), &status) != 0) return;
  const std::lock_guard lock(unsynced_mutex);
  unsynced().push_back({what, absolute, from, status.st_dev, status.st_ino, 0, 0, ""});
}

/// The file is synced: its bytes; the folder: its names.
void forget(int descriptor) {
  if (!cuts_power() || lies()) return;
  struct stat status {};
  if (fstat(descriptor, &status) != 0) return;
  const std::lock_guard lock(unsynced_mutex);
  std::erase_if(unsynced(),
                [&](const Unsynced& each) { return each.device == status.st_dev && each.inode == status.st_ino; });
}

int remove_entry(const char* path, const struct stat*, int, struct FTW*);

void undo_unsynced() {
  const char* torn = setting("FAULT_TORN");
  std::mt19937 generator(static_cast<unsigned>(atoi(torn)));
  static const auto real_open = next<int (*)(const char*, int, ...)>("open");
  static const auto real_pwrite = next<ssize_t (*)(int, const void*, size_t, off_t)>("pwrite");
  static const auto real_truncate = next<int (*)(int, off_t)>("ftruncate");
  static const auto real_rename = next<int (*)(const char*, const char*)>("rename");
  auto& all = unsynced();
  for (auto each = all.rbegin(); each != all.rend(); ++each) {
    if (each->what == Unsynced::What::kPlace) {
      real_rename(each->path.c_str(), each->from.c_str());
      for (Unsynced& other : all) {  // what lies in a folder has its old path again
        if (other.path.starts_with(each->path)) other.path.replace(0, each->path.size(), each->from);
      }
      continue;
    }
    if (each->what == Unsynced::What::kName) {
      nftw(each->path.c_str(), remove_entry, 16, FTW_DEPTH | FTW_PHYS);
      continue;
    }
    if (torn[0] != '\0' && generator() % 2 == 0) continue;
    const int descriptor = real_open(each->path.c_str(), O_WRONLY | O_CLOEXEC);
    if (descriptor < 0) continue;
    [[maybe_unused]] const ssize_t written = real_pwrite(descriptor, each->old.data(), each->old.size(), each->offset);
    [[maybe_unused]] const int cut = torn[0] == '\0' ? real_truncate(descriptor, each->size) : 0;
    close(descriptor);
  }
}

/// What the call is to do: 0 = go on, else the errno it fails with.
int meet(bool is_below_root) {
  static const char* fault = setting("FAULT");
  static const long at = atol(setting("FAULT_AT"));
  static const bool stays = strcmp(setting("FAULT_STAYS"), "1") == 0;
  if (!is_below_root) return 0;
  const long call = ++calls;
  if (disk_full) return ENOSPC;
  if (at == 0 || call < at || (call > at && !stays)) return 0;
  if (cuts_power()) undo_unsynced();
  if (strcmp(fault, "kill") == 0 || cuts_power()) kill(getpid(), SIGKILL);
  if (strcmp(fault, "vanish") == 0 || strcmp(fault, "stray") == 0) {
    if (call == at) nftw(setting("FAULT_VICTIM"), remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    return 0;
  }
  return number_of(fault);
}

size_t size_of(const struct iovec* data, int count) {
  size_t size = 0;
  for (int i = 0; i < count; ++i) size += data[i].iov_len;
  return size;
}

/// The number of a call that syncs, for the test to choose from.
void note_sync() {
  const char* path = getenv("SYNC_FILE");
  if (path == nullptr) return;
  if (FILE* file = fopen(path, "a")) {
    fprintf(file, "%ld\n", calls.load());
    fclose(file);
  }
}

bool is_short(long call) {
  static const bool is_chosen = strcmp(setting("FAULT"), "short") == 0;
  static const long at = atol(setting("FAULT_AT"));
  return is_chosen && call == at;
}

bool is_met(int flags) {
  static const bool reads = strcmp(setting("FAULT_READS"), "1") == 0;
  return reads || (flags & (O_CREAT | O_WRONLY | O_RDWR)) != 0;
}

}  // namespace

// A call of these arguments that returns -1 on failure.
#define FAULTY(result, failure, name, parameters, arguments, is_below_root) \
  result name parameters {                                                  \
    static const auto real = next<result(*) parameters>(#name);             \
    if (const int reason = meet(is_below_root); reason != 0) {              \
      errno = reason;                                                       \
      return failure;                                                       \
    }                                                                       \
    return real arguments;                                                  \
  }

extern "C" {

ssize_t write(int descriptor, const void* data, size_t size) {
  static const auto real = next<ssize_t (*)(int, const void*, size_t)>("write");
  if (descriptor <= 2) return real(descriptor, data, size);
  const int reason = meet(counts_at(descriptor));
  if (reason == 0) {
    keep_old(descriptor, -1, size);
    return real(descriptor, data, size);
  }
  if (!disk_full && is_short(calls)) {
    disk_full = true;
    if (size > 1) return real(descriptor, data, size / 2);
  }
  errno = reason;
  return -1;
}

// Half of a write that is met as `short` is done.
#define FAULTY_WRITE(name, parameters, arguments, halved, size, offset) \
  ssize_t name parameters {                                             \
    static const auto real = next<ssize_t(*) parameters>(#name);        \
    if (const int reason = meet(counts_at(descriptor)); reason != 0) {  \
      if (!disk_full && is_short(calls)) {                              \
        disk_full = true;                                               \
        if ((size) > 1) return real halved;                             \
      }                                                                 \
      errno = reason;                                                   \
      return -1;                                                        \
    }                                                                   \
    keep_old(descriptor, offset, size);                                 \
    return real arguments;                                              \
  }
FAULTY_WRITE(pwrite, (int descriptor, const void* data, size_t size, off_t at), (descriptor, data, size, at),
             (descriptor, data, size / 2, at), size, at)
FAULTY_WRITE(pwrite64, (int descriptor, const void* data, size_t size, off_t at), (descriptor, data, size, at),
             (descriptor, data, size / 2, at), size, at)
FAULTY_WRITE(writev, (int descriptor, const struct iovec* data, int count), (descriptor, data, count),
             (descriptor, data, (count + 1) / 2), size_of(data, count), -1)
FAULTY_WRITE(pwritev, (int descriptor, const struct iovec* data, int count, off_t at), (descriptor, data, count, at),
             (descriptor, data, (count + 1) / 2, at), size_of(data, count), at)
FAULTY_WRITE(pwritev64, (int descriptor, const struct iovec* data, int count, off_t at), (descriptor, data, count, at),
             (descriptor, data, (count + 1) / 2, at), size_of(data, count), at)

#define FAULTY_SYNC(name)                               \
  int name(int descriptor) {                            \
    static const auto real = next<int (*)(int)>(#name); \
    const bool mine = counts_at(descriptor);            \
    if (const int reason = meet(mine); reason != 0) {   \
      errno = reason;                                   \
      return -1;                                        \
    }                                                   \
    if (mine) note_sync();                              \
    forget(descriptor);                                 \
    return lies() ? 0 : real(descriptor);               \
  }
FAULTY_SYNC(fsync)
FAULTY_SYNC(fdatasync)

int ftruncate(int descriptor, off_t length) {
  static const auto real = next<int (*)(int, off_t)>("ftruncate");
  if (const int reason = meet(counts_at(descriptor)); reason != 0) {
    errno = reason;
    return -1;
  }
  keep_old(descriptor, length, 0);
  return real(descriptor, length);
}
int ftruncate64(int descriptor, off_t length) { return ftruncate(descriptor, length); }
FAULTY(int, -1, fchmod, (int descriptor, mode_t mode), (descriptor, mode), counts_at(descriptor))
int rename(const char* from, const char* to) {
  static const auto real = next<int (*)(const char*, const char*)>("rename");
  if (const int reason = meet(counts(to)); reason != 0) {
    errno = reason;
    return -1;
  }
  const int result = real(from, to);
  if (result == 0 && counts(to)) keep_name(Unsynced::What::kPlace, from, to);
  return result;
}
int renameat2(int a, const char* from, int b, const char* to, unsigned flags) {
  static const auto real = next<int (*)(int, const char*, int, const char*, unsigned)>("renameat2");
  if (const int reason = meet(counts_at(b, to)); reason != 0) {
    errno = reason;
    return -1;
  }
  const int result = real(a, from, b, to, flags);
  if (result == 0 && counts_at(b, to)) keep_name(Unsynced::What::kPlace, from, to);
  return result;
}
FAULTY(int, -1, link, (const char* from, const char* to), (from, to), counts(to))
FAULTY(int, -1, mkostemp, (char* name, int flags), (name, flags), counts(name))
FAULTY(char*, nullptr, mkdtemp, (char* name), (name), counts(name))
int mkdir(const char* path, mode_t mode) {
  static const auto real = next<int (*)(const char*, mode_t)>("mkdir");
  if (const int reason = meet(counts(path)); reason != 0) {
    errno = reason;
    return -1;
  }
  const int result = real(path, mode);
  if (result == 0 && counts(path)) keep_name(Unsynced::What::kName, "", path);
  return result;
}
FAULTY(int, -1, unlink, (const char* path), (path), counts(path))
FAULTY(int, -1, unlinkat, (int folder, const char* name, int flags), (folder, name, flags), counts_at(folder, name))
FAULTY(int, -1, rmdir, (const char* path), (path), counts(path))
FAULTY(int, -1, remove, (const char* path), (path), counts(path))

#define FAULTY_OPEN(name, parameters, arguments, is_below_root)                               \
  int name parameters {                                                                       \
    static const auto real = next<int(*) parameters>(#name);                                  \
    mode_t mode = 0;                                                                          \
    if ((flags & (O_CREAT)) != 0) {                                                           \
      va_list list;                                                                           \
      va_start(list, flags);                                                                  \
      mode = va_arg(list, mode_t);                                                            \
      va_end(list);                                                                           \
    }                                                                                         \
    if (const int reason = is_met(flags) ? meet(is_below_root) : 0; reason) {                 \
      errno = reason;                                                                         \
      return -1;                                                                              \
    }                                                                                         \
    const bool is_new = (flags & O_CREAT) != 0 && access(path, F_OK) != 0;                    \
    const int opened = real arguments;                                                        \
    if (opened >= 0 && is_new && (is_below_root)) keep_name(Unsynced::What::kName, "", path); \
    return opened;                                                                            \
  }
FAULTY_OPEN(open, (const char* path, int flags, ...), (path, flags, mode), counts(path))
FAULTY_OPEN(open64, (const char* path, int flags, ...), (path, flags, mode), counts(path))
FAULTY_OPEN(openat, (int folder, const char* path, int flags, ...), (folder, path, flags, mode),
            counts_at(folder, path))

void _exit(int code) {
  if (const char* path = getenv("COUNT_FILE")) {
    if (FILE* file = fopen(path, "w")) {
      fprintf(file, "%ld\n", calls.load());
      fclose(file);
    }
  }
  static const auto real = next<void (*)(int)>("_exit");
  real(code);
  __builtin_unreachable();
}
}
