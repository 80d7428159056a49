#include "serve/store_calls.h"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "io/error.h"
#include "serve/api_error.h"

namespace loraxs {

ApiError store_away() {
  constexpr int kUnavailable = 503;
  ApiError away(kUnavailable, "the store of adapters does not answer; try again", "", "store_unavailable");
  away.retry_after = 1;
  return away;
}

/// Shared by who asks and by the threads, which may outlive both.
struct StoreCalls::State {
  using Clock = std::chrono::steady_clock;
  struct Asked {
    std::function<void()> task;
    std::atomic<bool> given_up = false;
  };

  explicit State(StoreCallsOptions given) : options(given) {}

  const StoreCallsOptions options;
  std::mutex mutex;
  std::condition_variable asked;
  std::deque<std::shared_ptr<Asked>> queue;
  std::size_t threads = 0, idle = 0;
  bool ends = false;
  bool stalled = false, trying = false;
  Clock::time_point next_try, last_answer;

  void begin(const std::shared_ptr<Asked>& each, const std::shared_ptr<State>& self);
  void serve();
  /// What the end of a call that began at `since` says of the store.
  void ended(Clock::time_point since, bool in_time);
};

void StoreCalls::State::ended(Clock::time_point since, bool in_time) {
  const std::lock_guard lock(mutex);
  const Clock::time_point now = Clock::now();
  trying = false;
  if (in_time) last_answer = now;
  stalled = last_answer < since;  // nor was any other answered
  const std::chrono::duration<double> pause(options.pause_seconds);
  if (stalled) next_try = now + std::chrono::duration_cast<Clock::duration>(pause);
}

/// Throws ApiError while the store is stalled.
void StoreCalls::State::begin(const std::shared_ptr<Asked>& each, const std::shared_ptr<State>& self) {
  const std::lock_guard lock(mutex);
  if (stalled) {
    const bool none_free = idle == 0 && threads >= options.threads;
    if (trying || none_free || Clock::now() < next_try) throw store_away();
    trying = true;
  }
  queue.push_back(each);
  if (queue.size() > idle && threads < options.threads) {
    std::thread([self] { self->serve(); }).detach();
    ++threads;
  }
  asked.notify_one();
}

void StoreCalls::State::serve() {
  std::unique_lock lock(mutex);
  while (true) {
    ++idle;
    asked.wait(lock, [&] { return ends || !queue.empty(); });
    --idle;
    if (ends) return;
    std::shared_ptr<Asked> next = std::move(queue.front());
    queue.pop_front();
    lock.unlock();
    if (!next->given_up) next->task();
    next.reset();  // what it holds goes without the lock
    lock.lock();
  }
}

StoreCalls::StoreCalls(StoreCallsOptions options) : state_(std::make_shared<State>(options)) {}

StoreCalls::~StoreCalls() {
  const std::lock_guard lock(state_->mutex);
  state_->ends = true;
  state_->asked.notify_all();
}

void StoreCalls::run(std::function<void()> task, const std::function<bool(std::chrono::duration<double>)>& done) {
  const auto each = std::make_shared<State::Asked>();
  each->task = std::move(task);
  const auto since = State::Clock::now();
  state_->begin(each, state_);
  const bool in_time = done(std::chrono::duration<double>(state_->options.deadline_seconds));
  state_->ended(since, in_time);
  if (in_time) return;
  each->given_up = true;
  throw Error(concat("no answer within ", state_->options.deadline_seconds, " s; the call was given up"));
}

}  // namespace loraxs
