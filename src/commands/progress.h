// commands/progress.h: a line every few seconds that says what is being done, also while a library call says nothing.
#pragma once
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

#include "io/log.h"

namespace loraxs {

/// Writes "answers=12/40 strict=0.5 eta=0:30", or "loading seconds=4" where nobody counts, from a thread of its own.
/// One thread calls it.
class Progress {
 public:
  /// An empty sink hears nothing, and no thread is started.
  explicit Progress(LogSink log);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// A stage of `all` parts; 0: nobody knows how many. Its name is one word.
  void begin(const std::string& stage, int64_t all = 0);
  /// So many parts are done; `facts` stand behind them. The last part is told at once.
  void at(int64_t done, const std::string& facts = "");
  /// One part more.
  void step();
  /// Somebody else has written a line; of every Progress the next one is then due a few seconds later.
  static void heard();

 private:
  void say();  // mutex_ is held
  LogSink log_;
  std::mutex mutex_;  // of all below
  std::condition_variable changed_;
  bool over_ = false;
  std::string stage_, facts_;
  int64_t done_ = 0, first_ = -1, all_ = 0;  // first_: parts that were done before this stage counted any
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();  // of the stage
  std::chrono::steady_clock::time_point said_ = begin_;                             // the last line
  std::thread thread_;
};

/// "1:05"
std::string clock_text(double seconds);

}  // namespace loraxs
