// Preloaded into the program by the tests beside it: counts its calls that change files, and at one of them does what
// the environment may do to a program: kill it, fail, write half, or take a file away. Only calls below FAULT_ROOT
// count.
//
// FAULT_AT=N      the call that is met, from 1
// FAULT=kill      the process dies before the call
//       ENOSPC    the call fails with this errno (EROFS, EACCES, EIO, EMFILE, EDQUOT too)
//       short     half of a write is done, what comes after fails with ENOSPC; other calls fail with ENOSPC
//       vanish    FAULT_VICTIM, a file or folder, is removed; then the call goes on
//       stray     the same: a planted mistake of the program, which the test must find
// FAULT_STAYS=1   all later calls that change files fail too, as on a disk that is full or became read-only
// FAULT_READS=1   files and folders opened for reading count too
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
#include <unistd.h>

#include <atomic>

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

/// What the call is to do: 0 = go on, else the errno it fails with.
int meet(bool is_below_root) {
  static const char* fault = setting("FAULT");
  static const long at = atol(setting("FAULT_AT"));
  static const bool stays = strcmp(setting("FAULT_STAYS"), "1") == 0;
  if (!is_below_root) return 0;
  const long call = ++calls;
  if (disk_full) return ENOSPC;
  if (at == 0 || call < at || (call > at && !stays)) return 0;
  if (strcmp(fault, "kill") == 0) kill(getpid(), SIGKILL);
  if (strcmp(fault, "vanish") == 0 || strcmp(fault, "stray") == 0) {
    if (call == at) nftw(setting("FAULT_VICTIM"), remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    return 0;
  }
  return number_of(fault);
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
  if (reason == 0) return real(descriptor, data, size);
  if (!disk_full && is_short(calls)) {
    disk_full = true;
    if (size > 1) return real(descriptor, data, size / 2);
  }
  errno = reason;
  return -1;
}

FAULTY(int, -1, fsync, (int descriptor), (descriptor), counts_at(descriptor))
FAULTY(int, -1, ftruncate, (int descriptor, off_t length), (descriptor, length), counts_at(descriptor))
FAULTY(int, -1, fchmod, (int descriptor, mode_t mode), (descriptor, mode), counts_at(descriptor))
FAULTY(int, -1, rename, (const char* from, const char* to), (from, to), counts(to))
FAULTY(int, -1, renameat2, (int a, const char* from, int b, const char* to, unsigned flags), (a, from, b, to, flags),
       counts_at(b, to))
FAULTY(int, -1, link, (const char* from, const char* to), (from, to), counts(to))
FAULTY(int, -1, mkostemp, (char* name, int flags), (name, flags), counts(name))
FAULTY(char*, nullptr, mkdtemp, (char* name), (name), counts(name))
FAULTY(int, -1, mkdir, (const char* path, mode_t mode), (path, mode), counts(path))
FAULTY(int, -1, unlink, (const char* path), (path), counts(path))
FAULTY(int, -1, unlinkat, (int folder, const char* name, int flags), (folder, name, flags), counts_at(folder, name))
FAULTY(int, -1, rmdir, (const char* path), (path), counts(path))
FAULTY(int, -1, remove, (const char* path), (path), counts(path))

#define FAULTY_OPEN(name, parameters, arguments, is_below_root)               \
  int name parameters {                                                       \
    static const auto real = next<int(*) parameters>(#name);                  \
    mode_t mode = 0;                                                          \
    if ((flags & (O_CREAT)) != 0) {                                           \
      va_list list;                                                           \
      va_start(list, flags);                                                  \
      mode = va_arg(list, mode_t);                                            \
      va_end(list);                                                           \
    }                                                                         \
    if (const int reason = is_met(flags) ? meet(is_below_root) : 0; reason) { \
      errno = reason;                                                         \
      return -1;                                                              \
    }                                                                         \
    return real arguments;                                                    \
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
