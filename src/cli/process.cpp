#include "cli/process.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>

namespace loraxs {
namespace {

constexpr int kInterruptedExit = 130;
// Looks at the awaited word before a thread sleeps: about 20 us; the wait of a step is shorter when nobody else is
// there, and another process takes a core for milliseconds. libgomp's own is 300000.
constexpr const char* kSpinCount = "1000";

void open_missing_descriptors() {
  for (int descriptor = STDIN_FILENO; descriptor <= STDERR_FILENO; ++descriptor) {
    if (fcntl(descriptor, F_GETFD) != -1 || errno != EBADF) continue;
    // The lowest free number is this one. Opened the wrong way round: using it fails, as it would have.
    if (open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY) != descriptor) _exit(1);
  }
}

void handle(int signal, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  sigemptyset(&action.sa_mask);
  sigaction(signal, &action, nullptr);
}

}  // namespace

void prepare_process() {
  open_missing_descriptors();
  handle(SIGPIPE, SIG_DFL);
  handle(SIGXFSZ, SIG_IGN);
  struct sigaction interrupt {};
  sigaction(SIGINT, nullptr, &interrupt);
  if (interrupt.sa_handler != SIG_IGN)
    handle(SIGINT, [](int) { _exit(kInterruptedExit); });  // a shell's background job
}

bool flush_output() {
  errno = 0;
  std::cout.flush();
  const bool written = std::fflush(stdout) == 0 && std::cout.good();
  if (!written) {
    std::cerr << "loraxs: standard output: cannot write" << (errno == 0 ? "" : ": ")
              << (errno == 0 ? "" : std::strerror(errno)) << '\n';
  }
  return written;
}

void bound_spinning() {
  if (std::getenv("OMP_WAIT_POLICY") != nullptr) return;
  setenv("GOMP_SPINCOUNT", kSpinCount, /*overwrite=*/0);
}

}  // namespace loraxs
