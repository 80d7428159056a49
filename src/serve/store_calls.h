// serve/store_calls.h: calls of a store that may hang: each has a deadline, and few threads wait for it. Without
// LibTorch.
#pragma once
#include <chrono>
#include <cstddef>
#include <functional>
#include <future>
#include <memory>
#include <type_traits>
#include <utility>

#include "serve/api_error.h"

namespace loraxs {

/// 503, and when to ask again.
ApiError store_away();

struct StoreCallsOptions {
  double deadline_seconds = 1;  // of a call, far below what the store itself allows
  double pause_seconds = 5;     // from a call that was given up to the next try
  std::size_t threads = 16;     // that may wait in the store
};

/// Runs calls of a store on threads of its own. Who asks waits for the deadline at most. Where no call was answered
/// meanwhile, the store counts as stalled from then on: calls are refused at once, but for one every `pause_seconds`,
/// until one is answered in time.
/// Threads that hang in the store stay there, bounded in number, and end when it lets them. Thread-safe.
class StoreCalls {
 public:
  explicit StoreCalls(StoreCallsOptions options = {});
  ~StoreCalls();  // does not wait for calls that were given up
  StoreCalls(const StoreCalls&) = delete;
  StoreCalls& operator=(const StoreCalls&) = delete;

  /// What `call` returns or throws. Throws Error where it was given up, ApiError 503 where it was not begun. `call`
  /// owns all that it touches: it may go on when nobody waits for it any more.
  template <typename Call>
  auto ask(Call call) -> std::invoke_result_t<Call&> {
    using Result = std::invoke_result_t<Call&>;
    const auto task = std::make_shared<std::packaged_task<Result()>>(std::move(call));
    std::future<Result> result = task->get_future();
    run([task] { (*task)(); },
        [&](std::chrono::duration<double> wait) { return result.wait_for(wait) == std::future_status::ready; });
    return result.get();
  }

 private:
  struct State;
  /// Until `done` says that the task has been run. Throws.
  void run(std::function<void()> task, const std::function<bool(std::chrono::duration<double>)>& done);

  std::shared_ptr<State> state_;  // with the threads
};

}  // namespace loraxs
