// Preloaded into the program by tests/faults/kill_resume.py: counts the calls that change files and, at call number
// KILL_AT, kills the process before the call is made. COUNT_FILE receives the count when a run ends by itself.
#include <dlfcn.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

namespace {

long calls = 0;

void count_call() {
  static const char* kill_at = getenv("KILL_AT");
  ++calls;
  if (kill_at != nullptr && calls == atol(kill_at)) kill(getpid(), SIGKILL);
}

template <typename Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" {

ssize_t write(int descriptor, const void* data, size_t size) {
  static const auto real = next<ssize_t (*)(int, const void*, size_t)>("write");
  if (descriptor > 2) count_call();
  return real(descriptor, data, size);
}
int fsync(int descriptor) {
  static const auto real = next<int (*)(int)>("fsync");
  count_call();
  return real(descriptor);
}
int rename(const char* from, const char* to) {
  static const auto real = next<int (*)(const char*, const char*)>("rename");
  count_call();
  return real(from, to);
}
int ftruncate(int descriptor, off_t length) {
  static const auto real = next<int (*)(int, off_t)>("ftruncate");
  count_call();
  return real(descriptor, length);
}
int mkostemp(char* name, int flags) {
  static const auto real = next<int (*)(char*, int)>("mkostemp");
  count_call();
  return real(name, flags);
}
char* mkdtemp(char* name) {
  static const auto real = next<char* (*)(char*)>("mkdtemp");
  count_call();
  return real(name);
}
int unlinkat(int folder, const char* name, int flags) {
  static const auto real = next<int (*)(int, const char*, int)>("unlinkat");
  count_call();
  return real(folder, name, flags);
}
void _exit(int code) {
  if (const char* path = getenv("COUNT_FILE")) {
    if (FILE* file = fopen(path, "w")) {
      fprintf(file, "%ld\n", calls);
      fclose(file);
    }
  }
  static const auto real = next<void (*)(int)>("_exit");
  real(code);
  __builtin_unreachable();
}
}
