// The API between threads: an engine that answers on its own while clients come, go and are refused.
#include <gtest/gtest.h>

#include <condition_variable>
#include <set>
#include <thread>

#include "support/fake_serving.h"

namespace loraxs {
namespace {

/// Answers one piece of each request in turn, on a thread of its own.
class ThreadedEngine : public test::FakeEngine {
 public:
  ThreadedEngine() : thread_([this] { serve(); }) {}
  ~ThreadedEngine() override {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    woken_.notify_one();
    thread_.join();
  }

  int64_t answer(AnswerRequest request) override {
    const std::lock_guard lock(mutex_);
    if (waiting_.size() >= 40) throw ApiError(429, "the queue is full", "", "queue_full");
    waiting_.push_back({++last_, std::move(request), 0});
    woken_.notify_one();
    return last_;
  }
  void cancel(int64_t id) override {
    const std::lock_guard lock(mutex_);
    gone_.insert(id);
    woken_.notify_one();
  }
  bool idle() {
    const std::lock_guard lock(mutex_);
    return waiting_.empty() && !busy_;
  }

 private:
  struct Waiting {
    int64_t id;
    AnswerRequest request;
    size_t told;
  };

  void serve() {
    std::unique_lock lock(mutex_);
    for (;;) {
      woken_.wait(lock, [&] { return stop_ || !waiting_.empty(); });
      if (waiting_.empty()) return;
      Waiting next = std::move(waiting_.front());
      waiting_.pop_front();
      busy_ = true;
      const bool cancelled = gone_.erase(next.id) > 0;
      lock.unlock();
      const bool more = !cancelled && next.told < pieces.size();
      if (more) {
        tell_piece(next.request, pieces[next.told++]);
      } else {
        end(next.request, cancelled ? FinishReason::kCancelled : FinishReason::kStop);
        next.request = {};  // with what it holds of the API
      }
      lock.lock();
      if (more) waiting_.push_back(std::move(next));
      busy_ = false;
    }
  }

  std::mutex mutex_;
  std::condition_variable woken_;
  std::deque<Waiting> waiting_;
  std::set<int64_t> gone_;
  int64_t last_ = 0;
  bool stop_ = false, busy_ = false;
  std::thread thread_;
};

TEST(ApiThreadsTest, EveryCallEndsOnceWhoeverGoesWhen) {
  constexpr int kClients = 3, kCalls = 400;
  test::ServerOf<ThreadedEngine> server;
  server.engine.pieces = {"a", "b", "c", "d", "e", "f"};
  std::atomic<int> whole = 0, refused = 0;
  const auto client = [&](int number) {
    for (int i = 0; i < kCalls; ++i) {
      const bool stream = i % 2 == 0;
      const auto exchange = server.send(
          "POST", i % 3 == 0 ? "/v1/completions" : "/v1/chat/completions",
          concat(R"({"model": "base", )",
                 i % 3 == 0 ? R"("prompt": ["a", "b"])" : R"("messages": [{"role": "user", "content": "hi"}])",
                 R"(, "stream": )", stream ? "true" : "false", "}"),
          concat("tenant", number));
      if (i % 5 == 0) exchange->leave();
      while (exchange.use_count() > 1) std::this_thread::yield();  // until the API has let it go
      std::atomic_thread_fence(std::memory_order_acquire);
      EXPECT_LE(exchange->replies.size() + static_cast<size_t>(exchange->begun), 1U);
      if (!exchange->replies.empty() && exchange->replies[0].status == 429) {
        ++refused;
      } else if (i % 5 != 0) {
        ++whole;
        EXPECT_TRUE(stream ? exchange->ended == 1 && exchange->events.back().data == "[DONE]"
                           : exchange->replies.size() == 1 && exchange->replies[0].status == 200);
      }
    }
  };
  std::vector<std::thread> clients;
  for (int i = 0; i < kClients; ++i) clients.emplace_back(client, i);
  for (std::thread& thread : clients) thread.join();
  while (!server.engine.idle()) std::this_thread::yield();
  EXPECT_EQ(server.gate.open, 0);
  EXPECT_EQ(server.log.size(), static_cast<size_t>(kClients) * kCalls);
  EXPECT_EQ(whole + refused, kClients * kCalls * 4 / 5);
}

}  // namespace
}  // namespace loraxs
