// serve/engine_thread.h: the one thread that computes, and the tasks that others hand to it.
#pragma once
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace loraxs {

/// Runs `work` over and over: at once while it says kAgain, else when somebody posts, and after kPause at the latest
/// where it says kSoon. Tasks are run between two calls, in order.
class EngineThread {
 public:
  enum class Next { kAgain, kSoon, kWait };
  static constexpr auto kPause = std::chrono::microseconds(200);  // far less than a step

  EngineThread() = default;
  ~EngineThread() { stop(); }
  EngineThread(const EngineThread&) = delete;
  EngineThread& operator=(const EngineThread&) = delete;

  /// `work` throws nothing. It alone computes from here on, not the calling thread.
  void start(std::function<Next()> work);
  /// Any thread; dropped after stop().
  void post(std::function<void()> task);
  /// After the call under way. Tasks that are left are dropped.
  void stop();

 private:
  void run(const std::function<Next()>& work);

  std::mutex mutex_;
  std::condition_variable posted_;
  std::vector<std::function<void()>> tasks_;
  bool ends_ = false;
  std::thread thread_;
};

}  // namespace loraxs
