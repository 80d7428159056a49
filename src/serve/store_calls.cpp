#include "serve/store_calls.h"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <set>
#include <thread>
#include <tuple>

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
    Clock::time_point since;
    std::atomic<bool> given_up = false;
  };
  using AskedPtr = std::shared_ptr<Asked>;
  struct Older {
    bool operator()(const AskedPtr& a, const AskedPtr& b) const {
      return std::tie(a->since, a) < std::tie(b->since, b);
    }
  };

  explicit State(StoreCallsOptions given) : options(given) {}

  const StoreCallsOptions options;
  std::mutex mutex;
  std::condition_variable asked;
  std::deque<AskedPtr> queue;
  std::size_t threads = 0, idle = 0;
  bool ends = false;
  bool stalled = false, trying = false;
  bool slow = false;  // the last that was waited for a moment did not come in it
  Clock::time_point next_try, last_answer;
  std::set<AskedPtr, Older> unattended;  // calls that go on while nobody waits for them

  // All with the mutex.
  bool has_free_thread() const { return idle > 0 || threads < options.threads; }
  /// Whether it was begun; not while the store is stalled.
  bool begin(const AskedPtr& each, const std::shared_ptr<State>& self);
  /// What the end of a call that began at `since` says of the store.
  void ended(Clock::time_point since, bool in_time);
  /// Deadlines of those that nobody waits for.
  void look_at_unattended();

  void serve();  // without
};

namespace {

auto clock_time(double seconds) {
  return std::chrono::duration_cast<std::chrono::steady_clock::duration>(std::chrono::duration<double>(seconds));
}

}  // namespace

void StoreCalls::State::ended(Clock::time_point since, bool in_time) {
  const Clock::time_point now = Clock::now();
  trying = false;
  if (in_time) {
    last_answer = now;
    slow = now - since > clock_time(options.moment_seconds);
  }
  stalled = last_answer < since;  // nor was any other answered
  if (!in_time) slow = true;
  if (stalled) next_try = now + clock_time(options.pause_seconds);
}

void StoreCalls::State::look_at_unattended() {
  while (!unattended.empty() && (*unattended.begin())->since + clock_time(options.deadline_seconds) < Clock::now()) {
    const AskedPtr late = *unattended.begin();
    unattended.erase(unattended.begin());
    late->given_up = true;
    ended(late->since, /*in_time=*/false);
  }
}

bool StoreCalls::State::begin(const AskedPtr& each, const std::shared_ptr<State>& self) {
  look_at_unattended();
  if (stalled) {
    if (trying || !has_free_thread() || Clock::now() < next_try) return false;
    trying = true;
  }
  each->since = Clock::now();
  queue.push_back(each);
  if (queue.size() > idle && threads < options.threads) {
    std::thread([self] { self->serve(); }).detach();
    ++threads;
  }
  asked.notify_one();
  return true;
}

void StoreCalls::State::serve() {
  std::unique_lock lock(mutex);
  while (true) {
    ++idle;
    asked.wait(lock, [&] { return ends || !queue.empty(); });
    --idle;
    if (ends) return;
    AskedPtr next = std::move(queue.front());
    queue.pop_front();
    lock.unlock();
    if (!next->given_up) next->task();
    lock.lock();
    if (unattended.erase(next) > 0) ended(next->since, /*in_time=*/true);
    lock.unlock();
    next.reset();  // what it holds goes without the lock
    lock.lock();
  }
}

bool StoreCalls::slow() const {
  const std::lock_guard lock(state_->mutex);
  return state_->slow;
}

StoreCalls::StoreCalls(StoreCallsOptions options) : state_(std::make_shared<State>(options)) {}

StoreCalls::~StoreCalls() {
  const std::lock_guard lock(state_->mutex);
  state_->ends = true;
  state_->asked.notify_all();
}

void StoreCalls::run(std::function<void()> task, const Done& done) {
  const auto each = std::make_shared<State::Asked>();
  each->task = std::move(task);
  {
    const std::lock_guard lock(state_->mutex);
    if (!state_->begin(each, state_)) throw store_away();
  }
  const bool in_time = done(std::chrono::duration<double>(state_->options.deadline_seconds));
  {
    const std::lock_guard lock(state_->mutex);
    state_->ended(each->since, in_time);
  }
  if (in_time) return;
  each->given_up = true;
  throw Error(concat("no answer within ", state_->options.deadline_seconds, " s; the call was given up"));
}

bool StoreCalls::run_briefly(std::function<void()> task, const Done& done) {
  const auto each = std::make_shared<State::Asked>();
  each->task = std::move(task);
  bool slow = false;
  {
    const std::lock_guard lock(state_->mutex);
    state_->look_at_unattended();
    slow = state_->slow;
    // Half of the threads are for those who cannot do without.
    if (slow && (state_->unattended.size() >= state_->options.threads / 2 || !state_->has_free_thread())) return false;
    if (!state_->begin(each, state_)) return false;
    if (slow) state_->unattended.insert(each);
  }
  if (slow) return false;
  if (done(std::chrono::duration<double>(state_->options.moment_seconds))) {
    const std::lock_guard lock(state_->mutex);
    state_->ended(each->since, /*in_time=*/true);
    return true;
  }
  const std::lock_guard lock(state_->mutex);
  if (done(std::chrono::duration<double>(0))) {
    state_->ended(each->since, /*in_time=*/true);
    return true;
  }
  state_->slow = true;
  state_->unattended.insert(each);
  return false;
}

}  // namespace loraxs
