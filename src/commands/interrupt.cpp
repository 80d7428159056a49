#include "commands/interrupt.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

namespace loraxs {
namespace {

std::atomic<bool> pressed = false;  // the one thing a signal handler may touch
struct sigaction before {};

}  // namespace

Interrupt::Interrupt() {
  struct sigaction action {};
  action.sa_handler = [](int) { pressed = true; };
  sigemptyset(&action.sa_mask);  // no SA_RESTART: read(2) returns
  sigaction(SIGINT, &action, &before);
}

Interrupt::~Interrupt() { sigaction(SIGINT, &before, nullptr); }

bool Interrupt::taken() { return pressed.exchange(false); }

InputLines::Event InputLines::next(std::string& line) {
  while (true) {
    const size_t end = buffered_.find('\n');
    if (end != std::string::npos) {
      line = buffered_.substr(0, end);
      buffered_.erase(0, end + 1);
      return Event::kLine;
    }
    if (ended_) {
      line = std::move(buffered_);
      buffered_.clear();
      return line.empty() ? Event::kEnd : Event::kLine;
    }
    char piece[4096];
    const ssize_t count = read(STDIN_FILENO, piece, sizeof piece);
    if (count > 0) {
      buffered_.append(piece, static_cast<size_t>(count));
    } else if (count < 0 && errno == EINTR) {
      if (Interrupt::taken()) return Event::kInterrupted;
    } else {
      ended_ = true;
    }
  }
}

}  // namespace loraxs
