#include "commands/interrupt.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>

namespace loraxs {
namespace {

std::atomic<bool> pressed = false;  // the one thing a signal handler may touch

}  // namespace

Interrupt::Interrupt(std::initializer_list<int> signals, bool ends_waits) {
  struct sigaction action {};
  action.sa_handler = [](int) { pressed = true; };
  sigemptyset(&action.sa_mask);
  action.sa_flags = ends_waits ? 0 : SA_RESTART;  // without it read(2) returns
  before_.reserve(signals.size());
  for (const int signal : signals) sigaction(signal, &action, &before_.emplace_back(signal, action).second);
}

Interrupt::~Interrupt() {
  for (const auto& [signal, action] : before_) sigaction(signal, &action, nullptr);
}

bool Interrupt::taken() { return pressed.exchange(false); }

bool Interrupt::pending() { return pressed; }

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
