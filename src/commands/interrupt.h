// commands/interrupt.h: Ctrl-C as a request to stop what is being done, and lines that can be interrupted.
#pragma once
#include <optional>
#include <string>

namespace loraxs {

/// While it lives, Ctrl-C sets a flag and ends a wait for input; the program goes on.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  /// Was Ctrl-C pressed since the last call?
  static bool taken();
};

/// Lines of standard input by read(2), which a signal ends (std::cin would go on waiting).
class InputLines {
 public:
  enum class Event { kLine, kInterrupted, kEnd };
  /// On kLine, `line` is the next line without its end.
  Event next(std::string& line);

 private:
  std::string buffered_;
  bool ended_ = false;
};

}  // namespace loraxs
