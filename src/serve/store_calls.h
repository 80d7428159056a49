// serve/store_calls.h: calls of a store that may hang: each has a deadline, and few threads wait for it. Without
// LibTorch.
#pragma once
#include <chrono>
#include <cstddef>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "serve/api_error.h"

namespace loraxs {

/// 503, and when to ask again.
ApiError store_away();

struct StoreCallsOptions {
  double deadline_seconds = 1;   // of a call, far below what the store itself allows
  double moment_seconds = 0.25;  // of a call whose asker can do without
  double pause_seconds = 5;      // from a call that was given up to the next try
  std::size_t threads = 16;      // that may wait in the store
};

/// Runs calls of a store on threads of its own. Who asks waits for the deadline at most. Where no call was answered
/// meanwhile, the store counts as stalled from then on: calls are refused at once, but for one every `pause_seconds`,
/// until one is answered in time.
/// Who can do without an answer waits a moment, and once that was in vain not at all until the store is quick again;
/// his call goes on all the same, and what it finds is there for the next. Threads that hang in the store stay there,
/// bounded in number, and end when it lets them. Thread-safe.
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
    std::future<std::invoke_result_t<Call&>> result;
    run(task_of(std::move(call), result), ready(result));
    return result.get();
  }

  /// The same for who can do without: none where the store is stalled, or did not answer within a moment.
  template <typename Call>
  auto ask_briefly(Call call) -> std::optional<std::invoke_result_t<Call&>> {
    std::future<std::invoke_result_t<Call&>> result;
    if (!run_briefly(task_of(std::move(call), result), ready(result))) return std::nullopt;
    return result.get();
  }

  /// Whether the last answer took longer than a moment, or did not come.
  bool slow() const;

 private:
  struct State;
  using Done = std::function<bool(std::chrono::duration<double> wait)>;  // whether the task has been run by then

  template <typename Call, typename Result>
  static std::function<void()> task_of(Call call, std::future<Result>& result) {
    const auto task = std::make_shared<std::packaged_task<Result()>>(std::move(call));
    result = task->get_future();
    return [task] { (*task)(); };
  }
  template <typename Result>
  static Done ready(std::future<Result>& result) {
    return [&result](std::chrono::duration<double> wait) { return result.wait_for(wait) == std::future_status::ready; };
  }
  /// Until it is done. Throws.
  void run(std::function<void()> task, const Done& done);
  /// -> whether it is done
  bool run_briefly(std::function<void()> task, const Done& done);

  std::shared_ptr<State> state_;  // with the threads
};

}  // namespace loraxs
