// commands/interrupt.h: Ctrl-C as a request to stop what is being done, and lines that can be interrupted.
#pragma once
#include <signal.h>

#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

namespace loraxs {

/// While it lives, Ctrl-C (or another of `signals`) sets a flag and the program goes on.
class Interrupt {
 public:
  /// `ends_waits`: a wait for input ends too. Not where files are written: their writes would end as well.
  Interrupt(std::initializer_list<int> signals, bool ends_waits);
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  /// Was it pressed since the last call?
  static bool taken();
  /// Was it pressed since the last call of taken()?
  static bool pending();

 private:
  std::vector<std::pair<int, struct sigaction>> before_;
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
